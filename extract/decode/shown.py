"""The frames that a shard's features were made of, once more: for pictures of what was seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rhas.extract.decode.index import stored_index
from rhas.extract.decode.process import DecodeError, DecoderProcess, Frames
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import Shard


def shown_frames(shard: Shard, numbers: NDArray[np.int64], size: tuple[int, int]) -> Frames:
    """Frames `numbers` [n] (ascending) of the shard's movie at `size`. Raises DecodeError, also for a changed file."""
    stored = FeaturesFolder(shard.path.parent.parent).index(shard.movie_id)
    try:
        index = stored_index(stored, shard.video)
    except OSError:  # a file that is gone, which the decoder says better
        index = None
    deinterlace = shard.json("config").get("decode", {}).get("deinterlace", True)
    with DecoderProcess(deinterlace=deinterlace) as decoder:
        index = index or decoder.index(shard.video)
        if shard.json("source").get("digest", index.facts.digest) != index.facts.digest:
            raise DecodeError("the file has changed since its features were made")
        return decoder.read(shard.video, index, numbers, size)
