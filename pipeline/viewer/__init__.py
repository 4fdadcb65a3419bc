"""`rhas view`: a folder that opens from disk in a browser: movies with boxes, timelines, labels to correct.

    OUT/index.html          the page; opened as file://, it needs no server, no network and nothing installed
    OUT/page/               its scripts and style, as they are in `rhas.pipeline.viewer.page`
    OUT/media/DIGEST….mp4   each movie as browsers play it: a copy, or a proxy (see `media`)
    OUT/data/index.js       which movies there are; written last
    OUT/data/N/movie.js     movie number N: persons, clock, where it is uncertain; labels.js, predicted.js: intervals
    OUT/data/N/boxes-K.js   boxes of `tiles.BOX_TILE` samples, of all persons
    OUT/data/N/P-L-K.js     scores of person number P at level L, tile K: see `tiles`
    OUT/data/others.js      labels of movies that aren't shown, which belong into the labels.csv that the page saves

A page from disk may not fetch files, but it may load scripts: so each file of data is a call, `rhas.give(name, value)`,
that the page loads when it needs it. Arrays are base64 of little-endian numbers.

`sources` knows persons and boxes, `predictions` what a run says of them, `doubt` where that is uncertain, `chunks` and
`tiles` write, `folder` puts it together. Times are seconds of movie time; the page knows how much a player's clock is
ahead (`offset_s`).
"""
