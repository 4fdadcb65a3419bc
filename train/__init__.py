"""Stage 2: feature shards to a segmenter. Knows films only through the shards that `manifests` describes."""
