"""What a packet's own bits say: whether decoding may begin with it, and whether it is shown at all.

Containers mark key frames as their muxers saw fit: some mark recovery points or every packet. A decoder that begins
at a packet which refers to earlier ones shows wrong pictures without a word. So where the codec is known its packets
are asked (ITU-T H.264 7.3.1, D.2.8; H.265 7.4.2.2; H.262 6.3.9; ISO/IEC 14496-2 6.2.5; RFC 6386 9.1; VP9 6.2; AV1
5.3), and elsewhere the container is believed unless it can't be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

H264_IDR, H264_SEI = 5, 6
HEVC_IDR, HEVC_IRAP = (19, 20), range(16, 24)
RECOVERY_POINT = 6  # type of the SEI message
AV1_SEQUENCE_HEADER, AV1_TEMPORAL_DELIMITER = 1, 2
LOOKED_AT = 4096  # bytes of a packet in which its headers must begin


@dataclass(frozen=True)
class Entry:
    """A packet with which decoding may begin.

    Frames shown from its own time on are then exact, after `wait` further frames that others refer to. `closed`:
    nothing that follows it refers to anything before it.
    """

    closed: bool
    wait: int = 0


def entry_reader(codec: str, extradata: bytes | None) -> Callable[[memoryview], Entry | None] | None:
    """Tells of a packet whether decoding may begin with it; None for codecs whose bits are not known."""
    extradata = extradata or b""
    if codec == "h264":
        length = _h264_length(extradata)
        return lambda data: _h264(data, length)
    if codec == "hevc":
        length = (extradata[21] & 3) + 1 if extradata[:1] == b"\x01" and len(extradata) > 22 else 0
        return lambda data: _hevc(data, length)
    if codec in ("mpeg1video", "mpeg2video"):
        return _mpeg12
    return {"mpeg4": _mpeg4, "vp8": _vp8, "vp9": _vp9, "av1": _av1}.get(codec)


def is_reference(data: memoryview, extradata: bytes | None) -> bool:
    """Whether other frames may refer to that of an H.264 packet: frames count towards a recovery if they may."""
    for nal in _nal_units(data, _h264_length(extradata or b"")):
        if len(nal) and 1 <= nal[0] & 31 <= H264_IDR:
            return nal[0] >> 5 & 3 > 0
    return True


def parameters(codec: str, data: memoryview) -> bytes:
    """What a packet between start codes says of the recording as a whole; nothing for other codecs."""
    kinds = {"h264": (7, 8), "hevc": (32, 33, 34)}.get(codec)
    if kinds is None:
        head = bytes(data[:LOOKED_AT])
        at = head.find(b"\0\0\1\xb3") if codec in ("mpeg1video", "mpeg2video") else -1
        return head[at : at + 12] if at >= 0 else b""
    units = [bytes(nal) for nal in _nal_units(data, 0) if len(nal)]
    return b"".join(u for u in units if (u[0] & 31 if codec == "h264" else u[0] >> 1 & 63) in kinds)


def is_hidden(codec: str, data: memoryview) -> bool:
    """Whether the packet's frame is only referred to, never shown."""
    if codec == "vp8":
        return len(data) > 0 and not data[0] >> 4 & 1
    if codec == "vp9":
        return _vp9_hidden(data)
    return False


# --- codecs made of NAL units


def _nal_units(data: memoryview, length: int) -> Iterator[memoryview]:
    """NAL units behind sizes of `length` bytes, or between start codes where `length` is 0."""
    if length:
        at = 0
        while at + length < len(data):
            size = int.from_bytes(data[at : at + length], "big")
            yield data[at + length : at + length + size]
            at += length + size
        return
    head = bytes(data[:LOOKED_AT])
    at = head.find(b"\0\0\1")
    while at >= 0:
        following = head.find(b"\0\0\1", at + 3)
        yield data[at + 3 : following if following >= 0 else len(data)]
        at = following


def _h264_length(extradata: bytes) -> int:
    return (extradata[4] & 3) + 1 if extradata[:1] == b"\x01" and len(extradata) > 6 else 0


def _h264(data: memoryview, length: int) -> Entry | None:
    for nal in _nal_units(data, length):
        kind = nal[0] & 31 if len(nal) else 0
        if kind == H264_IDR:
            return Entry(closed=True)
        if kind == H264_SEI and (wait := _recovery_point(bytes(nal[1:]))) is not None:
            return Entry(closed=False, wait=wait)
        if 1 <= kind <= 4:  # a slice: what could be said comes before it
            return None
    return None


def _recovery_point(sei: bytes) -> int | None:
    """Frames after which pictures are exact, where the messages hold a recovery point that promises exactness."""
    sei = sei.replace(b"\0\0\3", b"\0\0")  # emulation prevention
    at = 0
    while at + 2 <= len(sei) and sei[at] != 0x80:
        kind = size = 0
        for is_kind in (True, False):
            value = 0
            while at < len(sei) and sei[at] == 255:
                value, at = value + 255, at + 1
            value, at = value + (sei[at] if at < len(sei) else 0), at + 1
            kind, size = (value, size) if is_kind else (kind, value)
        if kind == RECOVERY_POINT:
            bits = "".join(f"{byte:08b}" for byte in sei[at : at + size])
            zeros = len(bits) - len(bits.lstrip("0"))
            if 2 * zeros + 2 > len(bits):
                return None
            exact_match = bits[2 * zeros + 1] == "1"
            return int(bits[zeros : 2 * zeros + 1], 2) - 1 if exact_match else None
        at += size
    return None


def _hevc(data: memoryview, length: int) -> Entry | None:
    for nal in _nal_units(data, length):
        kind = nal[0] >> 1 & 63 if len(nal) else 0
        if len(nal) and kind < 32:  # the first slice; parameter sets and messages have higher numbers
            return Entry(closed=kind in HEVC_IDR) if kind in HEVC_IRAP else None
    return None


# --- others


def _mpeg12(data: memoryview) -> Entry | None:
    """An intra picture behind a sequence header, without which a decoder can't begin."""
    head = bytes(data[:LOOKED_AT])
    at = head.find(b"\0\0\1\0")
    if at < 0 or at + 5 >= len(head) or b"\0\0\1\xb3" not in head[:at]:
        return None
    return Entry(closed=False) if head[at + 5] >> 3 & 7 == 1 else None


def _mpeg4(data: memoryview) -> Entry | None:
    head = bytes(data[:LOOKED_AT])
    at = head.find(b"\0\0\1\xb6")
    return Entry(closed=False) if 0 <= at < len(head) - 4 and head[at + 4] >> 6 == 0 else None


def _vp8(data: memoryview) -> Entry | None:
    return Entry(closed=True) if len(data) and not data[0] & 1 else None


def _vp9_header(data: memoryview) -> tuple[bool, bool, bool] | None:
    """show_existing_frame, whether it is a key frame, show_frame."""
    if not len(data) or data[0] >> 6 != 2:
        return None
    bits = f"{data[0]:08b}"[2:]
    profile = int(bits[1] + bits[0], 2)
    bits = bits[3 if profile == 3 else 2 :]
    if bits[0] == "1":
        return True, False, True
    return False, bits[1] == "0", bits[2] == "1"


def _vp9(data: memoryview) -> Entry | None:
    header = _vp9_header(data)
    return Entry(closed=True) if header is not None and header[1] else None


def _vp9_hidden(data: memoryview) -> bool:
    """A superframe, which ends in an index, shows its last frame."""
    header = _vp9_header(data)
    superframe = len(data) > 0 and data[-1] >> 5 == 6
    return header is not None and not superframe and not header[2]


def _av1(data: memoryview) -> Entry | None:
    """A temporal unit that begins with a sequence header."""
    at = 0
    while at < min(len(data), LOOKED_AT):
        header = data[at]
        kind = header >> 3 & 15
        if kind != AV1_TEMPORAL_DELIMITER:
            return Entry(closed=True) if kind == AV1_SEQUENCE_HEADER else None
        at += 2 + (header >> 2 & 1)  # its size, where given, is 0
    return None
