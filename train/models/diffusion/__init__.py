"""Diffusion over frame-wise labels: the noise schedule, the way there (q_sample) and the way back (DDIM).

Knows no network: a decoder is a function from noisy labels and time steps to logits.
"""
