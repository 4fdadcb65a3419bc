"""Numbered H.264 and MPEG-2 movies of field pictures (PAFF), which no free encoder makes, written bit by bit.

Each field is a picture of its own; both of a frame show the same number. Every macroblock is flat: one that
differs from its reference is intra with DC coefficients only, else it is skipped. The order is I P b P b …:
every other frame is decoded after the frame that follows it. (The square is no square here.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tests.truth.numbers import draw

# One macroblock of a field for each column and band of a picture.
COLUMNS, ROWS = 14, 4
WIDTH, HEIGHT = 16 * COLUMNS, 32 * ROWS
RATE = 25


@dataclass(frozen=True)
class Frame:
    """A frame in order of decoding."""

    number: int
    place: int  # in its group, in order of display
    kind: str  # I, P, or b: never a reference


def order(first: int, n: int, group: int) -> Iterator[Frame]:
    for start in range(0, n, group):
        size = min(group, n - start)
        yield Frame(first + start, 0, "I")
        for place in range(1, size, 2):
            pair = [place + 1, place] if place + 1 < size else [place]
            for at in pair:
                yield Frame(first + start + at, at, "b" if at == place and len(pair) == 2 else "P")


@dataclass
class Bits:
    text: list[str] = field(default_factory=list)

    def u(self, value: int, width: int) -> Bits:
        return self.code(f"{value:0{width}b}")

    def ue(self, value: int) -> Bits:
        code = f"{value + 1:b}"
        return self.code("0" * (len(code) - 1) + code)

    def se(self, value: int) -> Bits:
        return self.ue(2 * value - 1 if value > 0 else -2 * value)

    def code(self, bits: str) -> Bits:
        self.text.append(bits)
        return self

    def bytes(self, end: str = "") -> bytes:
        """The bits so far with `end` behind, filled up with zeros."""
        text = "".join(self.text) + end
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


def cells(number: int) -> np.ndarray:
    """Y, Cb, Cr [rows,columns,3] of a number's macroblocks, BT.601 in limited range."""
    rgb = draw(number, COLUMNS, ROWS).astype(np.float64) / 255
    y = rgb @ (0.299, 0.587, 0.114)
    cb, cr = (rgb[..., 2] - y) / 1.772, (rgb[..., 0] - y) / 1.402
    return np.stack([16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr], axis=-1).round().astype(int)


# H.264


def h264(first: int, n: int, group: int = 24) -> list[tuple[bytes, Frame]]:
    """Packets of two fields each, in order of decoding."""
    packets, reference, references = [], None, 0
    for index, frame in enumerate(order(first, n, group)):
        picture = cells(frame.number)
        if frame.kind == "I":
            references = 0
            data = _sps() + _pps() + _field(frame, False, 0, picture, None, index // group % 2)
            # The second field finds its number in the first one.
            data += _field(frame, True, 0, picture, picture)
        else:
            data = b"".join(
                _field(frame, bottom, references % 16, picture, reference) for bottom in (False, True)
            )
        if frame.kind != "b":
            reference, references = picture, references + 1
        packets.append((data, frame))
    return packets


def _nal(header: int, bits: Bits) -> bytes:
    raw, out, zeros = bits.bytes("1"), bytearray(), 0
    for byte in raw:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return b"\0\0\0\1" + bytes([header]) + bytes(out)


def _sps() -> bytes:
    b = Bits()
    b.u(77, 8).u(0, 8).u(30, 8)  # Main, level 3
    b.ue(0).ue(0).ue(0).ue(4)  # id, 4 bits of frame_num, order by counts of 8 bits
    b.ue(2).u(0, 1).ue(COLUMNS - 1).ue(ROWS - 1)  # two references; size in macroblocks of fields
    b.u(0, 1).u(0, 1).u(1, 1).u(0, 1)  # not only frames, no MBAFF, direct 8x8, no cropping
    b.u(1, 1).u(0, 4)  # VUI without aspect, overscan, colours, chroma place
    b.u(1, 1).u(1, 32).u(2 * RATE, 32).u(1, 1)  # fields a second
    b.u(0, 3)  # no HRD, no pic_struct
    b.u(1, 1).u(1, 1).ue(0).ue(0).ue(9).ue(9).ue(1).ue(2)  # one frame is reordered
    return _nal(0x67, b)


def _pps() -> bytes:
    b = Bits()
    b.ue(0).ue(0).u(0, 2).ue(0).ue(0).ue(0).u(0, 3)  # CAVLC, one reference
    # At QP 28, and 22 for chroma, a DC level is exactly one step of a sample.
    b.se(2).se(0).se(-6).u(0b100, 3)
    return _nal(0x68, b)


def _field(
    frame: Frame, bottom: bool, frame_num: int, picture: np.ndarray, reference: np.ndarray | None,
    idr: int | None = None,
) -> bytes:  # fmt: skip
    b = Bits()
    b.ue(0).ue(7 if reference is None else 5).ue(0).u(frame_num, 4).u(1, 1).u(bottom, 1)
    if idr is not None:
        b.ue(idr)
    b.u(2 * frame.place + bottom, 8)
    if reference is not None:
        b.u(0, 2)
    if frame.kind != "b":
        b.u(0, 2 if idr is not None else 1)
    b.se(0).ue(1)  # QP as in the PPS, no deblocking
    skipped = 0
    for row in range(ROWS):
        for column in range(COLUMNS):
            if reference is not None and (picture[row, column] == reference[row, column]).all():
                skipped += 1
                continue
            if reference is not None:
                b.ue(skipped)
                skipped = 0
            _h264_macroblock(b, picture, row, column, 0 if reference is None else 5)
    if skipped:
        b.ue(skipped)
    header = 0x65 if idr is not None else 0x01 if frame.kind == "b" else 0x41
    return _nal(header, b)


def _h264_macroblock(b: Bits, picture: np.ndarray, row: int, column: int, type_offset: int) -> None:
    # Predicted from the left, else from above, else 128.
    if column:
        luma_mode, chroma_mode, guess = 1, 1, picture[row, column - 1]
    elif row:
        luma_mode, chroma_mode, guess = 0, 2, picture[row - 1, column]
    else:
        luma_mode, chroma_mode, guess = 2, 0, np.full(3, 128)
    y, cb, cr = (int(v) for v in picture[row, column] - guess)
    chroma = bool(cb or cr)
    b.ue(type_offset + 1 + luma_mode + 4 * chroma).ue(chroma_mode).se(0)
    _level(b, y, none="1", one="01", more="000101")
    if chroma:
        _level(b, cb, none="01", one="1", more="000111")
        _level(b, cr, none="01", one="1", more="000111")


def _level(b: Bits, level: int, none: str, one: str, more: str) -> None:
    """CAVLC of a block whose first coefficient is `level` and all others are 0."""
    if level == 0:
        b.code(none)
        return
    if abs(level) == 1:
        b.code(one + ("1" if level < 0 else "0"))
    else:
        code = 2 * abs(level) - 2 + (level < 0) - 2
        b.code(more)
        if code < 14:
            b.code("0" * code + "1")
        elif code < 30:
            b.code("0" * 14 + "1").u(code - 14, 4)
        else:
            b.code("0" * 15 + "1").u(code - 30, 12)
    b.code("1")  # no zeros before it


# MPEG-2


_INCREMENT = ("1", "011", "010", "0011", "0010", "00011", "00010", "0000111", "0000110", "00001011", "00001010",
              "00001001", "00001000")  # fmt: skip
_DC_LUMA = ("100", "00", "01", "101", "110", "1110", "11110", "111110", "1111110")
_DC_CHROMA = ("00", "01", "10", "110", "1110", "11110", "111110", "1111110", "11111110")


def mpeg2(first: int, n: int, group: int = 12) -> list[tuple[bytes, Frame]]:
    """Packets of two fields each, in order of decoding."""
    packets, reference = [], None
    for frame in order(first, n, group):
        picture = cells(frame.number)
        data = _sequence() if frame.kind == "I" else b""
        for bottom in (False, True):
            # A bottom field beside an intra top field may look back only if there is a frame before.
            kind = (
                "I"
                if frame.kind == "I" and (not bottom or reference is None)
                else frame.kind.replace("I", "P")
            )
            data += _mpeg2_field(frame, kind, bottom, picture, reference)
        if frame.kind != "b":
            reference = picture
        packets.append((data, frame))
    return packets


def _sequence() -> bytes:
    head, extension, gop = Bits(), Bits(), Bits()
    head.u(WIDTH, 12).u(HEIGHT, 12).u(1, 4).u(3, 4)  # square samples, 25 frames a second
    head.u(2500, 18).u(1, 1).u(40, 10).u(0, 3)
    extension.u(1, 4).u(0x48, 8).u(0, 1).u(1, 2).u(0, 16)
    extension.u(1, 1).u(0, 16)
    gop.u(1 << 12, 25).u(0b10, 2)  # closed
    start = b"\0\0\1"
    return (
        start + b"\xb3" + head.bytes() + start + b"\xb5" + extension.bytes() + start + b"\xb8" + gop.bytes()
    )


def _mpeg2_field(
    frame: Frame, kind: str, bottom: bool, picture: np.ndarray, reference: np.ndarray | None
) -> bytes:
    head, extension = Bits(), Bits()
    head.u(frame.place, 10).u("IPb".index(kind) + 1, 3).u(0xFFFF, 16)
    head.code({"I": "", "P": "0111", "b": "01110111"}[kind] + "0")
    codes = {"I": 0xFFFF, "P": 0x11FF, "b": 0x1111}[kind]
    # DC of 8 bits; which field; neither progressive nor repeated.
    (
        extension.u(8, 4),
        extension.u(codes, 16),
        extension.u(0, 2),
        extension.u(2 if bottom else 1, 2),
        extension.u(0, 10),
    )
    data = b"\0\0\1\0" + head.bytes() + b"\0\0\1\xb5" + extension.bytes()
    return data + b"".join(_slice(kind, row, picture, reference) for row in range(ROWS))


def _slice(kind: str, row: int, picture: np.ndarray, reference: np.ndarray | None) -> bytes:
    b, before, last = Bits(), np.full(3, 128), -1
    b.u(4, 5).u(0, 1)
    for column in range(COLUMNS):
        same = reference is not None and (picture[row, column] == reference[row, column]).all()
        # In P pictures a skipped macroblock repeats its field's last; a slice's first and last can't be skipped.
        if kind == "P" and same and 0 < column < COLUMNS - 1:
            continue
        if column - last > 1:
            before = np.full(3, 128)
        b.code(_INCREMENT[column - last - 1] + ("1" if kind == "I" else "00011"))
        y, cb, cr = (int(v) for v in picture[row, column] - before)
        for value, codes in (
            (y, _DC_LUMA),
            (0, _DC_LUMA),
            (0, _DC_LUMA),
            (0, _DC_LUMA),
            (cb, _DC_CHROMA),
            (cr, _DC_CHROMA),
        ):
            size = abs(value).bit_length()
            b.code(codes[size])
            if size:
                b.u(value if value > 0 else value + (1 << size) - 1, size)
            b.code("10")
        before, last = picture[row, column], column
    return b"\0\0\1" + bytes([row + 1]) + b.bytes()
