"""Clips to what a model of RAVAR takes: `config` says how, `seeing` what of a clip's frames, `extracting` for all.

In: a table of clips (`rhas.manifests.tables.clips`). Out: the folder of `rhas.manifests.shards.clip_tokens`. One
process, movie by movie: a clip is a few frames, so there is little to plan.
"""
