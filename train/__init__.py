"""Stage 2: feature shards to a segmenter. Knows films only through the shards that `manifests` describes."""

from pathlib import Path

PRESETS = Path(__file__).parent / "presets"
