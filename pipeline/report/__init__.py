"""`rhas report`: one folder to show around, of what a run does on a split.

    OUT/index.html      results beside the baselines, timelines and a movie; holds everything itself, opens anywhere
    OUT/movie.mp4        a referred person with box, sentence, true and predicted actions
    OUT/timelines/      truth over prediction, a picture for each person
    OUT/results.md, results.csv

`movie` draws the movie, `page` the HTML; `making` measures what isn't measured yet and puts it together.
"""
