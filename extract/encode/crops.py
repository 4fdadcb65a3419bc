"""Cuts frames into the square images that encoders take: the whole frame, or one person of it.

In: decoded frames (uint8, as the decoder gives them, on whatever device) and person boxes as fractions of the
frame. Out: [N, 3, S, S] float32 in [0, 1] on the same device. Left to others: whether there is a box at all
(`rhas.extract.ground`) and the encoder's mean and standard deviation (`rhas.extract.encode`).

An image's pixels don't depend on what else is in the batch: the same frame and box give the same bits.

Shapes: B frames, N images, C = 3 colours, H x W pixels of the frame, S pixels of the square.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Fit = Literal["squash", "letterbox"]
Colour = tuple[float, float, float]

MIN_PIXELS = 2  # a smaller cut-out has no picture in it


def whole_frames(frames_BHWC: Tensor, size: int, fit: Fit, fill: Colour) -> Tensor:
    """Whole frames [B, H, W, 3] uint8 as squares [B, 3, size, size] float32 in [0, 1].

    `squash` stretches the frame to the square; `letterbox` keeps its proportions, centres it and pads with
    `fill` (RGB in [0, 1]).
    """
    _require_frames(frames_BHWC)
    canvas_BCSS = _canvas(len(frames_BHWC), size, fill, frames_BHWC.device)
    # One frame at a time: as float32 a movie frame takes four times its bytes, and a batch has many.
    for canvas_CSS, frame_HWC in zip(canvas_BCSS, frames_BHWC, strict=True):
        _paint(canvas_CSS, frame_HWC, fit)
    return canvas_BCSS


def person_crops(
    frames_BHWC: Tensor,
    boxes_N4: Tensor,
    frame_index_N: Tensor | Sequence[int],
    size: int,
    margin: float,
    fill: Colour,
) -> Tensor:
    """Persons cut out of frames, as squares [N, 3, size, size] float32 in [0, 1].

    Box n (x1, y1, x2, y2 as fractions of the frame) belongs to frame `frame_index_N[n]` of
    `frames_BHWC` [B, H, W, 3] uint8. It grows on each side by `margin` times its longer side, is clipped at
    the frame's edge, and what it holds is resized with its proportions kept, so that the longer side is
    `size`, centred, and padded with `fill` (RGB in [0, 1]; the encoder's mean makes the padding 0 to it).

    Raises ValueError for boxes that are not finite or end before they begin: who has no box has no crop.
    """
    _require_frames(frames_BHWC)
    count, height, width, _ = frames_BHWC.shape
    index_N = frame_index_N.tolist() if isinstance(frame_index_N, Tensor) else list(frame_index_N)
    if boxes_N4.shape != (len(index_N), 4):
        raise ValueError(
            f"expected one box of 4 numbers for each frame index, got {boxes_N4.shape = }, {index_N = }"
        )
    canvas_NCSS = _canvas(len(index_N), size, fill, frames_BHWC.device)
    # `tolist` waits for the device once, and makes the pixel arithmetic the same on every device.
    for canvas_CSS, i, box in zip(canvas_NCSS, index_N, boxes_N4.tolist(), strict=True):
        if not 0 <= i < count:
            raise ValueError(f"expected a frame index from 0 to {count - 1}, got {i}")
        left, top, right, bottom = pixel_box(box, height, width, margin)
        _paint(canvas_CSS, frames_BHWC[i, top:bottom, left:right], "letterbox")
    return canvas_NCSS


def pixel_box(box: Sequence[float], height: int, width: int, margin: float) -> tuple[int, int, int, int]:
    """The pixels that `person_crops` cuts out: left, top, right, bottom, the last two exclusive."""
    x1, y1, x2, y2 = box
    if not all(map(math.isfinite, box)) or x2 < x1 or y2 < y1:
        raise ValueError(f"expected a finite box x1 <= x2, y1 <= y2, got {list(box)}")
    x1, x2, y1, y2 = x1 * width, x2 * width, y1 * height, y2 * height
    grow = margin * max(x2 - x1, y2 - y1)
    left, right = _clip(x1 - grow, x2 + grow, width)
    top, bottom = _clip(y1 - grow, y2 + grow, height)
    return left, top, right, bottom


def _clip(low: float, high: float, length: int) -> tuple[int, int]:
    """The nearest whole pixels of an interval, within the frame and at least MIN_PIXELS long."""
    start = min(max(round(low), 0), max(length - MIN_PIXELS, 0))
    stop = max(min(round(high), length), min(start + MIN_PIXELS, length))
    return start, stop


def _canvas(count: int, size: int, fill: Colour, device: torch.device) -> Tensor:
    return torch.tensor(fill, dtype=torch.float32, device=device)[:, None, None].repeat(count, 1, size, size)


def _paint(canvas_CSS: Tensor, image_HWC: Tensor, fit: Fit) -> None:
    """Resizes a uint8 image onto its canvas, in place; letterboxed, it leaves some of it as it is."""
    size = canvas_CSS.shape[-1]
    height, width, _ = image_HWC.shape
    if fit == "squash":
        new_height = new_width = size
    elif fit == "letterbox":
        longer = max(height, width)
        # The shorter side of a very thin cut-out still gets a pixel.
        new_height, new_width = max(1, round(height * size / longer)), max(1, round(width * size / longer))
    else:
        raise ValueError(f"expected fit squash or letterbox, got {fit!r}")
    top, left = (size - new_height) // 2, (size - new_width) // 2
    image_1CHW = image_HWC.permute(2, 0, 1)[None].float().contiguous() / 255
    # Bicubic with antialiasing is what the released processors do (Pillow's). It overshoots at sharp edges.
    resized = F.interpolate(image_1CHW, size=(new_height, new_width), mode="bicubic", antialias=True)[0]
    canvas_CSS[:, top : top + new_height, left : left + new_width] = resized.clamp(0, 1)


def _require_frames(frames: Tensor) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
        raise ValueError(f"expected frames [B, H, W, 3] uint8, got {frames.shape = }, {frames.dtype = }")
