"""LTContext (Bahrami et al., 2023, arXiv:2308.11358): windowed and long-term attention, without diffusion.

- `segmenter`: it as a `Segmenter`; `model`: the network; `released`: the authors' checkpoints
"""
