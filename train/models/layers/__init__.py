"""Layers that the models share. All take padded batches x [B, D, T] with a mask [B, T] (True = a real frame).

Real frames come first, at least one in each video, padding last. Whatever finite numbers stand in the padding,
they never change what comes out for a real frame, and modules put out zeros there: a padded batch gives what
its videos give one by one. The mLSTM's forms, `dilated_attention` and `local_attention` are bare functions, without
that last part, and convolutions and `ChannelNorm` leave it to whoever calls them.
"""
