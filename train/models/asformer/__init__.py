"""ASFormer (Yi et al., BMVC 2021, arXiv:2110.08568): an encoder and decoders of convolutions and local attention.

- `segmenter`: it as a `Segmenter`; `model`: the network; `released`: the authors' checkpoints
"""
