"""FUTR (Gong et al., CVPR 2022, arXiv:2205.14022): what comes next, all at once, from queries that look at what was.

- `segmenter`: it as a `Segmenter` that anticipates; `model`: the network; `layers`: its attention and layers
- `future`: what queries are to say of a video; `released`: the authors' checkpoints
"""
