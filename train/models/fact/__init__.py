"""FACT (Lu and Elhamifar, CVPR 2024, "FACT: Frame-Action Cross-Attention Temporal Modeling for Efficient Action
Segmentation"): frames and action tokens that tell each other what they know, block by block.

- `segmenter`: it as a `Segmenter`, for one label a frame as in the paper, or several; `config`: its settings
- `model`: the network, of `blocks`, which are made of `branches` and `attention`, on `cuts` of the frames
- `truth`: the true segments; `matching`: which token stands for which; `losses`; `scores`: what is read of the tokens
- `released`: the authors' checkpoints

Built from the paper and the numbers of the code that its authors released (github.com/ZijiaLewisLu/CVPR2024-FACT,
snapshot of 2025-05-31, under a licence like MIT's); none of that code is in here.
"""
