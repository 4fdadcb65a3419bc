"""`rhas predict`: scores of a run's model, and what users get of them.

- `inference`: scores of windows, and windows of one person put back together; `postprocess`: scores smoothed
- `prediction`: segments, scores and timelines as files; `timeline`: the picture; `anticipation`: what comes next
- `loaded`: a run in a program of one's own
"""
