"""Exact boxes: persons that are found already go in with their boxes, the same boxes with moved sides come out.

A detector sees whole frames, and few of them where persons are tracked; here a small net (`net`) looks at a cut-out
around each box in its own frame (`refiner`). `detector.refine` in the config says whether, and by which weights.
"""
