"""Cuts frames into the square images that encoders take: the whole frame, or one person of it.

In: decoded frames (uint8, as the decoder gives them, on whatever device) and person boxes as fractions of the
frame. Out: [N, 3, S, S] float32 in [0, 1] on the same device. Left to others: whether there is a box at all
(`rhas.extract.ground`) and the encoder's mean and standard deviation (`rhas.extract.encode`).

On a CPU an image's pixels don't depend on what else is in the batch: the same frame and box give the same bits.
Elsewhere a batch is a few operations, whatever its size, that the device isn't waited for: the same pixels but for
rounding, to 1e-3, a quarter of a level in 255.

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
    if frames_BHWC.device.type != "cpu":
        return _whole_at_once(frames_BHWC, size, fit, fill)
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
    if wrong := [i for i in index_N if not 0 <= i < count]:
        raise ValueError(f"expected a frame index from 0 to {count - 1}, got {wrong[0]}")
    # `tolist` makes the pixel arithmetic the same on every device; boxes of the CPU's wait for none.
    cuts = [pixel_box(box, height, width, margin) for box in boxes_N4.tolist()]
    if frames_BHWC.device.type != "cpu":
        return _cut_at_once(frames_BHWC, index_N, cuts, size, fill)
    canvas_NCSS = _canvas(len(index_N), size, fill, frames_BHWC.device)
    for canvas_CSS, i, (left, top, right, bottom) in zip(canvas_NCSS, index_N, cuts, strict=True):
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


def placed(cut: tuple[int, int, int, int], size: int) -> tuple[int, int, int, int]:
    """Where the pixels that are cut out lie in their square of `size` pixels: left, top, width, height."""
    left, top, right, bottom = cut
    height, width = _fitted(bottom - top, right - left, size, "letterbox")
    return (size - width) // 2, (size - height) // 2, width, height


def _clip(low: float, high: float, length: int) -> tuple[int, int]:
    """The nearest whole pixels of an interval, within the frame and at least MIN_PIXELS long."""
    start = min(max(round(low), 0), max(length - MIN_PIXELS, 0))
    stop = max(min(round(high), length), min(start + MIN_PIXELS, length))
    return start, stop


def _canvas(count: int, size: int, fill: Colour, device: torch.device) -> Tensor:
    colour_C = torch.tensor(fill, dtype=torch.float32).to(device, non_blocking=True)
    return colour_C[:, None, None].repeat(count, 1, size, size)


def _paint(canvas_CSS: Tensor, image_HWC: Tensor, fit: Fit) -> None:
    """Resizes a uint8 image onto its canvas, in place; letterboxed, it leaves some of it as it is."""
    size = canvas_CSS.shape[-1]
    height, width, _ = image_HWC.shape
    new_height, new_width = _fitted(height, width, size, fit)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    image_1CHW = image_HWC.permute(2, 0, 1)[None].float().contiguous() / 255
    # Bicubic with antialiasing is what the released processors do (Pillow's). It overshoots at sharp edges.
    if new_width > 1:
        resized = F.interpolate(image_1CHW, size=(new_height, new_width), mode="bicubic", antialias=True)[0]
    else:  # torch's CPU kernel makes something else of a result that is one pixel wide
        rows_1SH, _ = _taps(torch.tensor([[0, height, 0, new_height]]), height, new_height)
        columns_1SW, _ = _taps(torch.tensor([[0, width, 0, 1]]), width, 1)
        resized = _resized(image_1CHW, rows_1SH, columns_1SW)[0]
    canvas_CSS[:, top : top + new_height, left : left + new_width] = resized.clamp(0, 1)


def _fitted(height: int, width: int, size: int, fit: Fit) -> tuple[int, int]:
    """The height and width that an image gets in its square."""
    if fit == "squash":
        return size, size
    if fit != "letterbox":
        raise ValueError(f"expected fit squash or letterbox, got {fit!r}")
    longer = max(height, width)
    # The shorter side of a very thin cut-out still gets a pixel.
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


# --- on a device: all of a batch at once


def _whole_at_once(frames_BHWC: Tensor, size: int, fit: Fit, fill: Colour) -> Tensor:
    count, height, width, _ = frames_BHWC.shape
    new_height, new_width = _fitted(height, width, size, fit)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    canvas_BCSS = _canvas(count, size, fill, frames_BHWC.device)
    if count:
        images_BCHW = frames_BHWC.permute(0, 3, 1, 2).float().contiguous() / 255
        resized = F.interpolate(images_BCHW, size=(new_height, new_width), mode="bicubic", antialias=True)
        canvas_BCSS[:, :, top : top + new_height, left : left + new_width] = resized.clamp(0, 1)
    return canvas_BCSS


def _cut_at_once(
    frames_BHWC: Tensor, index_N: Sequence[int], cuts: Sequence[tuple[int, int, int, int]], size: int, fill: Colour
) -> Tensor:  # fmt: skip
    """Each cut (left, top, right, bottom) of its frame in its square. Resizing is linear along either side: two
    products with matrices of the taps' weights, which know where each cut is."""
    device, (_, height, width, _) = frames_BHWC.device, frames_BHWC.shape
    canvas_NCSS = _canvas(len(cuts), size, fill, device)
    if not cuts:
        return canvas_NCSS
    sides = []  # of rows, then of columns: where the cut begins and ends, and where it goes in the square
    for left, top, right, bottom in cuts:
        first_column, first_row, new_width, new_height = placed((left, top, right, bottom), size)
        sides.append([(top, bottom, first_row, new_height), (left, right, first_column, new_width)])
    sides_2N4 = torch.tensor(sides).transpose(0, 1).contiguous().to(device, non_blocking=True)
    index_T = torch.tensor(list(index_N)).to(device, non_blocking=True)
    rows_NSH, in_rows_NS = _taps(sides_2N4[0], height, size)
    columns_NSW, in_columns_NS = _taps(sides_2N4[1], width, size)
    images_NCHW = frames_BHWC.index_select(0, index_T).permute(0, 3, 1, 2).float() / 255
    resized_NCSS = _resized(images_NCHW, rows_NSH, columns_NSW)
    inside_N1SS = (in_rows_NS[:, :, None] & in_columns_NS[:, None, :])[:, None]
    return torch.where(inside_N1SS, resized_NCSS.clamp(0, 1), canvas_NCSS)


def _resized(images_NCHW: Tensor, rows_NSH: Tensor, columns_NSW: Tensor) -> Tensor:
    """Images by the weights of `_taps` of their rows and columns: [N, C, S, S']."""
    with torch.autocast(images_NCHW.device.type, enabled=False):  # in float32, whatever the models are in
        return rows_NSH[:, None] @ (images_NCHW @ columns_NSW[:, None].transpose(2, 3))


def _taps(side_N4: Tensor, length: int, size: int) -> tuple[Tensor, Tensor]:
    """For N cuts [start, stop) of a side of so many pixels, resized to begin at `first` and be `new` long: what each
    pixel of the frame weighs in each one of the square [N, S, length], and which of the square the cut covers [N, S].

    The weights are those of torch's bicubic interpolation with antialiasing (Keys' cubic with a = -0.5, as wide as what
    one pixel of the square covers, cut off at the image's ends and normalised).
    """
    start, stop, first, new = (one[:, None] for one in side_N4.double().unbind(1))
    scale_N1 = (stop - start) / new
    width_N1 = scale_N1.clamp(min=1.0)
    at_NS = torch.arange(size, device=side_N4.device)[None] - first
    covered_NS = (at_NS >= 0) & (at_NS < new)
    centre_NS = start + scale_N1 * (at_NS + 0.5)
    pixel_L = torch.arange(length, device=side_N4.device) + 0.5
    apart_NSL = ((pixel_L - centre_NS[..., None]) / width_N1[..., None]).abs()
    within_N1L = ((pixel_L > start) & (pixel_L < stop))[:, None]
    weights_NSL = torch.where(within_N1L, _cubic(apart_NSL), 0.0)
    total_NS1 = weights_NSL.sum(-1, keepdim=True)
    weights_NSL = torch.where(covered_NS[..., None], weights_NSL / total_NS1, 0.0)
    return weights_NSL.float(), covered_NS


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic at distances from 0 on, with a = -0.5."""
    a = -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def _require_frames(frames: Tensor) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
        raise ValueError(f"expected frames [B, H, W, 3] uint8, got {frames.shape = }, {frames.dtype = }")
