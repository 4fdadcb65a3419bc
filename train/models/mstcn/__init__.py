"""MS-TCN++ (Li et al., 2020, arXiv:2006.09220): stages of dilated convolutions, each refining the one before.

- `segmenter`: it as a `Segmenter`; `model`: the network; `released`: checkpoints of the authors' code
"""
