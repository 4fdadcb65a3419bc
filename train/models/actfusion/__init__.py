"""ActFusion (Gong et al., 2024, arXiv:2412.04353): ActDiff's networks, masked at the input, to segment and anticipate.

- `segmenter`: it as a `Segmenter`; `model`: the networks; `masks`: what of the input is hidden in training
- `released`: the authors' checkpoints
"""
