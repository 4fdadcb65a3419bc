"""Model weights: where they come from, and which they are; for the detector and the encoder alike.

- `shipped_weights`: those that come with the package, in `shipped/`; `random_tokenizers`: what random models read with
- `fingerprint`: the hash by which features know their weights
- `torchvision_fix`: lets transformers and timm load beside a torchvision whose operators don't match this torch
"""
