"""Pictures of everybody in a window, made in pass two: a small JPEG of each, and what the encoder makes of it.

In: a window's frames, and which pictures are wanted of it. Out: `Pictures`. Vectors are of the pixels as they were
decoded; they need no sentence, so that any can be compared with them later. Where the encoder has none, JPEGs are all.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from rhas.extract.crops import person_crops, pixel_box, whole_frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.encode.windows import OnePass
from rhas.manifests.shards.people import Pictures, Wanted

LONGEST = 160  # pixels of a JPEG's longer side
JPEG_BYTES = 4096  # at most, as long as one of the qualities gets there
QUALITIES = (92, 85, 75, 60, 40, 20)


def pictures(models: OnePass, window: WindowFrames, wanted: Wanted) -> Pictures:
    """Of a window without lead-in."""
    assert not window.lead
    config, encoder = models.config.encoder, models.encoder
    height, width = window.frames.pixels.shape[1:3]
    there = np.flatnonzero(window.frames.ok[wanted.row])
    jpegs = [b""] * len(wanted.crop)
    for n in there:
        left, top, right, bottom = pixel_box(wanted.box[n].tolist(), height, width, config.crop_margin)
        jpegs[n] = small_jpeg(window.frames.pixels[wanted.row[n], top:bottom, left:right])
    if encoder.compares != "vectors" or not len(there):
        return Pictures(wanted.people_id, wanted.crop, tuple(jpegs), np.zeros((len(jpegs), 0, 0), np.int8))

    def call(items: slice) -> NDArray[np.int8]:
        rows, at = np.unique(wanted.row[there[items]], return_inverse=True)
        crops = person_crops(
            torch.from_numpy(window.frames.pixels[rows]).to(models.device),
            torch.from_numpy(wanted.box[there[items]]), torch.from_numpy(at),
            encoder.image_size, config.crop_margin, encoder.fill,
        )  # fmt: skip
        return packed_vectors(encoder.picture_vectors(encoder.see(crops)))

    with torch.inference_mode(), models.autocast():
        made = np.concatenate([own for _, own in models.encode_batches.run(len(there), call)])
    vectors = np.zeros((len(jpegs), *made.shape[1:]), np.int8)
    vectors[there] = made
    return Pictures(wanted.people_id, wanted.crop, tuple(jpegs), vectors)


def small_jpeg(pixels_HW3: NDArray[np.uint8]) -> bytes:
    """A picture as a JPEG of a few kB, shrunk where it is large and never enlarged."""
    height, width, _ = pixels_HW3.shape
    scale = min(1.0, LONGEST / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(np.ascontiguousarray(pixels_HW3), size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    jpeg = b""
    for quality in QUALITIES:
        jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(jpeg) <= JPEG_BYTES:
            break
    return jpeg


def opened_jpeg(jpeg: bytes) -> NDArray[np.uint8]:
    """RGB [H, W, 3]. Raises ValueError for what is no picture."""
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("a JPEG that can't be read")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def as_crops(
    pictures_HW3: Sequence[NDArray[np.uint8]], size: int, fill: tuple[float, float, float]
) -> torch.Tensor:
    """Pictures of persons as the encoder is given crops of them: squares [N, 3, size, size]."""
    squares = [whole_frames(torch.from_numpy(own)[None], size, "letterbox", fill) for own in pictures_HW3]
    return torch.cat(squares)


def packed_vectors(vectors_NQD: torch.Tensor) -> NDArray[np.int8]:
    """Vectors of length 1 in a byte a number: their directions count alone."""
    largest = vectors_NQD.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12)
    return (vectors_NQD * (127 / largest)).round().to(torch.int8).cpu().numpy()


def unpacked_vectors(packed: NDArray[np.int8]) -> NDArray[np.float32]:
    """Of length 1 again."""
    whole = packed.astype(np.float32)
    return whole / np.maximum(1e-12, np.linalg.norm(whole, axis=-1, keepdims=True))
