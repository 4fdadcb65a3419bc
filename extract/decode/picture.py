"""From a decoded frame to the picture that a player shows: upright, of its displayed shape, in RGB.

A frame's samples may be wider than high, lie on their side or be mirrored (ISO/IEC 14496-12, 8.3.2: the track's
matrix), hold two fields of different moments, and mean colours by one of several matrices (ITU-T H.273).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

RGB_MATRIX = 0
# H.273's matrix coefficients and swscale's names of them.
MATRICES = {
    1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.SMPTE170M, 7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020, 10: Colorspace.BT2020,
}  # fmt: skip
HDR = {"SMPTE2084": "PQ", "ARIB_STD_B67": "HLG"}
# From this width, or above this height, players take BT.709 where nothing is said.
HD_WIDTH, HD_HEIGHT = 1280, 576


@dataclass(frozen=True)
class Orientation:
    """How samples lie: first mirrored left to right, then turned by quarters counter-clockwise."""

    quarters: int = 0
    mirrored: bool = False

    @property
    def sideways(self) -> bool:
        return self.quarters % 2 == 1

    @classmethod
    def of_matrix(cls, matrix: tuple[int, ...]) -> Orientation:
        """Of a display matrix (9 numbers, 16.16); an odd angle counts as the nearest quarter."""
        a, b, _, c, d, *_ = matrix
        mirrored = a * d - b * c < 0
        if mirrored:
            a, b = -a, -b
        angle = np.degrees(np.arctan2(b, a))  # clockwise, of the picture's x axis
        return cls(round(-angle / 90) % 4, mirrored)

    def __str__(self) -> str:
        turned = f"turned {90 * self.quarters}" if self.quarters else ""
        return " and ".join(filter(None, ["mirrored" if self.mirrored else "", turned])) or "upright"

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The upright image of [H, W, 3]."""
        return np.rot90(image[:, ::-1] if self.mirrored else image, self.quarters)


@dataclass(frozen=True)
class Rendering:
    """How a movie's frames become pictures. `matrix` is for those that don't name theirs."""

    orientation: Orientation
    matrix: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Rendering:
        return cls(Orientation(**values["orientation"]), values["matrix"])

    def picture(
        self, frame: av.VideoFrame, size: tuple[int, int], deinterlace: bool = True
    ) -> NDArray[np.uint8]:
        """RGB [H, W, 3] at `size` (height, width) as displayed."""
        if deinterlace and frame.interlaced_frame:
            frame = _deinterlaced(frame)
        matrix = MATRICES.get(frame.colorspace) or Colorspace[self.matrix]
        image = frame.reformat(format="rgb24", src_colorspace=matrix, threads=1).to_ndarray()
        return resized(self.orientation.apply(image), size)


def resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image [h, w, 3] at `size` (height, width): averaged where it shrinks, so that nothing flickers.

    One for all readers, at full size before: their own resizing differs in the last bits.
    """
    if image.shape[:2] == size:
        return image
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=way), dtype=np.uint8)


def assumed_matrix(frame: av.VideoFrame) -> tuple[str, bool]:
    """The frame's matrix, and whether it is a guess because the frame doesn't say: BT.709 for HD, else BT.601."""
    if frame.colorspace in MATRICES:
        return MATRICES[frame.colorspace].name, False
    if frame.format.name.startswith(("rgb", "bgr", "gbr", "pal", "gray")) or frame.colorspace == RGB_MATRIX:
        return Colorspace.ITU601.name, False  # it has none
    hd = frame.width >= HD_WIDTH or frame.height > HD_HEIGHT
    return (Colorspace.ITU709 if hd else Colorspace.ITU601).name, True


def named(names: type[IntEnum], value: int) -> str:
    """FFmpeg's name of one of its numbers."""
    try:
        return names(value).name
    except ValueError:
        return str(value)


def _deinterlaced(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame's first field in full height, interpolated along edges.

    From this frame alone: after a seek there may be no other, and pictures must not depend on that.
    """
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base or Fraction(1, 1000),
    )
    deinterlace, sink = graph.add("estdif", "mode=frame"), graph.add("buffersink")
    source.link_to(deinterlace)
    deinterlace.link_to(sink)
    graph.configure()
    source.push(frame)
    source.push(None)
    return sink.pull()
