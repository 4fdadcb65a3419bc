"""Stage 2: feature shards to a segmenter. Knows movies only through the shards that `manifests` describes."""

from pathlib import Path

PRESETS = Path(__file__).parent / "presets"
