"""The contract between the stages: manifests, labels, vocabulary, and the format of feature shards.

Knows neither torch nor ray. The shard format is documented in `manifests.shard`, the folder in
`manifests.layout`, reading in `manifests.reader`.
"""
