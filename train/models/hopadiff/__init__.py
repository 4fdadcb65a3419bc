"""HopaDIFF (Peng et al., 2025, arXiv:2506.09650): a holistic and a partial branch, on ActDiff's networks.

- `segmenter`: both branches, their losses and predictions; `config`: the settings
- `hp_xlstm`: what passes between the branches; `mlstm`: its memory; `input_gates`: BCA
- `fourier`: frequencies of the condition
"""
