"""A folder of clips as an extraction leaves it, whose actions can be told from tokens and box from detections."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from rhas.manifests.shards.clip_tokens import ClipFolder, ClipTokens, clips_id, write_arrays, write_movie
from rhas.manifests.tables.clips import Clip, write_clips
from rhas.manifests.tables.vocabulary import Vocabulary, write_vocabulary

ACTIONS = Vocabulary(("sit", "wave", "read"))
TOKENS, WIDTH, DETECTIONS = 4, 8, 3
MOVIES = {"train": 6, "val": 2, "test": 3}
EACH = 12  # clips of a movie


def write_clip_folder(root: Path, seed: int = 0) -> ClipFolder:
    folder, rng = ClipFolder(root), np.random.default_rng(seed)
    looks = rng.standard_normal((len(ACTIONS), TOKENS, WIDTH))
    names = rng.standard_normal((2, WIDTH)).astype(np.float32)
    clips: list[Clip] = []
    parts: dict[str, tuple[list[int], ClipTokens]] = {}
    for split, count in MOVIES.items():
        for number in range(count):
            movie = f"{split}-{number}"
            doing = rng.random((EACH, len(ACTIONS))) < [0.6, 0.3, 0.3]
            doing[~doing.any(1), 0] = True
            low = rng.uniform(0, 0.5, (EACH, 2))
            box = np.concatenate([low, low + rng.uniform(0.2, 0.5, (EACH, 2))], 1).astype(np.float32)
            first = len(clips)
            for k in range(EACH):
                own = tuple(action for action, on in zip(ACTIONS.actions, doing[k], strict=True) if on)
                x1, y1, x2, y2 = box[k].tolist()
                clips.append(
                    Clip(movie, Path(f"/{movie}.mp4"), "p", float(k), "the man", split, (x1, y1, x2, y2), own)
                )
            image = np.einsum("nc,ctd->ntd", doing, looks) + 0.3 * rng.standard_normal((EACH, TOKENS, WIDTH))
            grounded, person = box.copy(), image.copy()
            grounded[0], person[0] = np.nan, np.nan  # nobody was found
            boxes = np.zeros((EACH, DETECTIONS, 4), np.float32)
            boxes[:, 0] = box
            categories = np.full((EACH, DETECTIONS), -1, np.int16)
            categories[:, 0] = 0
            rows = list(range(first, first + EACH))
            tokens = ClipTokens(
                row=np.array(rows, np.int64), image=image.astype(np.float16), person=person.astype(np.float16),
                sentence=rng.standard_normal((EACH, WIDTH)).astype(np.float32), grounded=grounded,
                grounded_score=np.ones(EACH, np.float32), boxes=boxes, categories=categories,
                scores=np.ones((EACH, DETECTIONS), np.float32),
            )  # fmt: skip
            parts[movie] = rows, tokens
    root.mkdir(parents=True, exist_ok=True)
    record = {
        "config": {}, "models": {}, "shape": [TOKENS, WIDTH],
        "clips": {"detections": DETECTIONS, "categories": ["person", "cup"]},
    }  # fmt: skip
    folder.config.write_text(json.dumps(record))
    write_vocabulary(ACTIONS, folder.actions)
    write_clips(clips, folder.clips)
    write_arrays(folder.names, {"names": names}, {})
    for movie, (rows, tokens) in parts.items():
        write_movie(folder.movie(movie), tokens, "x", clips_id(rows, [clips[row] for row in rows]))
    return folder
