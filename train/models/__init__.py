"""Segmenters: frame features [B, F, T] with a mask [B, T] go in, action labels [B, C, T] come out.

Models only: reading shards, optimisers and metrics are elsewhere in `train`.
"""
