"""`rhas eval`: a run measured on a split, beside the baselines.

- `evaluation`: metrics.json; `results`: its tables; `anticipation`: of what comes next
- `persons`: segments of each person, to draw persons and movies again
- `export`: a run to hand on, with a card of its numbers
- `annotator`: what a second annotator's labels would score
"""
