"""ActDiff (Liu et al., 2023, arXiv:2303.17959): diffusion action segmentation, conditioned on an encoder's features.

- `segmenter`: it as a `Segmenter`; `model`: encoder, decoder and diffusion put together; `config`: their settings
- `networks`, `layer`: encoder and decoder; `masks`: what of the condition is blanked in training
- `released`: the authors' checkpoints
"""
