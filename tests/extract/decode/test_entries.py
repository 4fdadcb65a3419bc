"""What packets say of themselves, held against packets built bit by bit from the standards' syntax."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhas.extract.decode.entries import Entry, entry_reader, is_hidden, is_reference

CLOSED, OPEN = Entry(closed=True), Entry(closed=False)
AVCC, HVCC = b"\x01\x64\x00\x0a\xff\xe1\x00\x00", b"\x01" + bytes(20) + b"\xff\x00"  # sizes of four bytes
AUD, SPS, PPS, SLICE, IDR = b"\x09\x10", b"\x67\x64\x00\x0a", b"\x68\xee", b"\x41\x9a\x02", b"\x65\x88\x80"


def packed(bits: str) -> bytes:
    """Bits, with spaces between fields, as whole bytes."""
    bits = bits.replace(" ", "")
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def ue(value: int) -> str:
    """H.264 9.1: as many zeros as follow the first one, then the number plus one."""
    binary = f"{value + 1:b}"
    return "0" * (len(binary) - 1) + binary


def escaped(data: bytes) -> bytes:
    """H.264 7.4.1.1: between two zeros and a byte up to 3 goes a 3."""
    out = bytearray()
    for byte in data:
        if out[-2:] == b"\0\0" and byte <= 3:
            out.append(3)
        out.append(byte)
    return bytes(out)


def message(kind: int, payload: bytes) -> bytes:
    """H.264 7.3.2.3.1: type and size in steps of 255."""
    sizes = [b"\xff" * (value // 255) + bytes([value % 255]) for value in (kind, len(payload))]
    return b"".join(sizes) + payload


def sei(*messages: bytes) -> bytes:
    return b"\x06" + escaped(b"".join(messages) + b"\x80")


def recovery(frames: int, exact: int = 1) -> bytes:
    """H.264 D.1.8: recovery_frame_cnt, exact_match_flag, broken_link_flag, changing_slice_group_idc."""
    return message(6, packed(f"{ue(frames)} {exact} 0 00 1"))


def annex_b(*nals: bytes) -> bytes:
    return b"".join((b"\0\0\0\1" if at == 0 else b"\0\0\1") + nal for at, nal in enumerate(nals))


def prefixed(length: int, *nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(length, "big") + nal for nal in nals)


def entry(codec: str, data: bytes, extradata: bytes | None = None) -> Entry | None:
    read = entry_reader(codec, extradata)
    assert read is not None
    return read(memoryview(data))


TIMING = message(1, b"\x42")
CAPTIONS = message(4, bytes(range(1, 251)) + b"\x03" * 60)  # more than 255 bytes
# Emulates start codes and what prevents them.
ZEROS = message(5, b"\0" * 20 + b"\0\0\1\0\0\2\0\0\3\0\0\0\0" + b"\x2c" * 16)
FAR_TYPE = message(300, b"\x80\x80")


@pytest.mark.parametrize(
    ("nals", "expected"),
    [
        ([IDR], CLOSED),
        ([AUD, SPS, PPS, sei(TIMING), IDR, IDR], CLOSED),
        ([SLICE], None),
        ([AUD, SPS, PPS, SLICE], None),
        ([SLICE, IDR], None),  # only the first slice counts
        ([b"\x01\x9a\x02"], None),  # of a B-frame
        ([b"\x42\x88"], None),  # data partition A
        ([sei(recovery(0)), SLICE], OPEN),
        ([AUD, sei(recovery(12)), SLICE], Entry(closed=False, wait=12)),
        ([sei(recovery(0, exact=0)), SLICE], None),
        ([sei(recovery(12, exact=0)), SLICE], None),
        ([sei(recovery(255)), SLICE], Entry(closed=False, wait=255)),
        ([sei(TIMING), sei(recovery(3)), SLICE], Entry(closed=False, wait=3)),  # a unit of its own
        ([sei(TIMING, CAPTIONS, recovery(12)), SLICE], Entry(closed=False, wait=12)),
        ([sei(ZEROS, recovery(12)), SLICE], Entry(closed=False, wait=12)),
        ([sei(FAR_TYPE, recovery(12), ZEROS), SLICE], Entry(closed=False, wait=12)),
        ([sei(TIMING, CAPTIONS), SLICE], None),
        ([sei(message(5, recovery(0))), SLICE], None),  # what looks like one within another message
        ([SLICE, sei(recovery(0))], None),  # it would belong to the next picture
        ([b"\x42\x88", sei(recovery(0)), IDR], None),
        ([AUD, SPS, PPS], None),
    ],
)
def test_h264(nals: list[bytes], expected: Entry | None) -> None:
    assert entry("h264", annex_b(*nals)) == expected
    assert entry("h264", annex_b(*nals), annex_b(SPS, PPS)) == expected
    for length in (1, 2, 4):
        if max(map(len, nals)) < 256**length:
            extradata = AVCC[:4] + bytes([0xFC | length - 1]) + AVCC[5:]
            assert entry("h264", prefixed(length, *nals), extradata) == expected


@pytest.mark.parametrize("idc", range(4))
@pytest.mark.parametrize("kind", [1, 2, 5])
def test_frames_are_referred_to_unless_their_first_slice_says_no(idc: int, kind: int) -> None:
    nal = bytes([idc << 5 | kind]) + b"\x9a\x02"
    nals = [
        AUD,
        b"\x06\x01\x01\x42\x80",
        nal,
    ]  # neither a delimiter nor a message is a slice: both have idc 0
    assert is_reference(memoryview(annex_b(*nals)), None) == (idc > 0)
    assert is_reference(memoryview(prefixed(4, *nals)), AVCC) == (idc > 0)


HEVC_KINDS = [
    *((kind, None) for kind in range(10)),  # TRAIL, TSA, STSA, RADL, RASL
    *((kind, OPEN) for kind in (16, 17, 18)),  # BLA
    (19, CLOSED), (20, CLOSED), (21, OPEN),  # IDR, CRA
]  # fmt: skip


@pytest.mark.parametrize(("kind", "expected"), HEVC_KINDS)
def test_hevc(kind: int, expected: Entry | None) -> None:
    slice_ = bytes([kind << 1, 1, 0xAF])
    before = [bytes([k << 1, 1, 0x50]) for k in (35, 32, 33, 34, 39)]  # AUD, VPS, SPS, PPS, prefix SEI
    for nals in ([slice_], [*before, slice_], [slice_, bytes([19 << 1, 1, 0xAF])]):
        assert entry("hevc", annex_b(*nals)) == expected
        assert entry("hevc", prefixed(4, *nals), HVCC) == expected


def mpeg2_picture(kind: int) -> bytes:
    """H.262 6.2.3: temporal_reference, picture_coding_type (I, P, B are 1, 2, 3), vbv_delay."""
    return b"\0\0\1\0" + packed(f"{1023:010b} {kind:03b} {0xFFFF:016b} 000") + b"\0\0\1\x01\x0a"


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
def test_mpeg_begins_with_a_sequence_header_and_an_intra_picture(codec: str) -> None:
    sequence, group = b"\0\0\1\xb3\x0c\x00\x60\x13\xff\xff\xe0\x18", b"\0\0\1\xb8\x00\x08\x00\x40"
    for kind, with_header in ((1, OPEN), (2, None), (3, None), (4, None)):
        picture = mpeg2_picture(kind)
        assert entry(codec, sequence + group + picture) == with_header
        assert entry(codec, sequence + picture) == with_header
        assert entry(codec, group + picture) is None
        assert entry(codec, picture + sequence) is None  # that of the next one
    assert entry(codec, sequence) is None


def test_mpeg4_takes_the_first_picture_of_a_packet() -> None:
    """14496-2 6.2.5: vop_coding_type I, P, B, S are 0 to 3."""
    header = b"\0\0\1\xb0\x01\0\0\1\xb5\x09\0\0\1\x20\0\0\1\xb2DivX503b1393p"
    for kind, expected in ((0, OPEN), (1, None), (2, None), (3, None)):
        vop = b"\0\0\1\xb6" + packed(f"{kind:02b} 0 1 00001 1 1") + b"\x55"
        assert entry("mpeg4", header + vop) == entry("mpeg4", vop) == expected
        assert entry("mpeg4", vop + b"\0\0\1\xb6" + packed("00 0 1")) == expected
    assert entry("mpeg4", header) is None


@pytest.mark.parametrize("version", [0, 3])
@pytest.mark.parametrize(("key", "show"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_vp8(key: int, show: int, version: int) -> None:
    """RFC 6386 9.1: from the lowest bit, 0 for a key frame, three of version, show_frame, the first part's size."""
    tag = (key | version << 1 | show << 4 | 1234 << 5).to_bytes(3, "little")
    assert entry("vp8", tag) == (CLOSED if key == 0 else None)
    assert is_hidden("vp8", memoryview(tag)) == (show == 0)


@pytest.mark.parametrize(
    "profile", ["0 0", "1 0", "0 1", "1 1 0"]
)  # 0 to 3, low bit first; 3 with its reserved bit
@pytest.mark.parametrize(("kind", "show"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_vp9(profile: str, kind: int, show: int) -> None:
    """VP9 6.2: frame_marker 2, profile, show_existing_frame, frame_type (0: key), show_frame, error_resilient_mode."""
    frame = packed(f"10 {profile} 0 {kind} {show} 0") + b"\x49\x83\x42\x05"
    assert entry("vp9", frame) == (CLOSED if kind == 0 else None)
    assert is_hidden("vp9", memoryview(frame)) == (show == 0)
    # Annex B: two frames of which the last is shown, and an index of them that begins and ends with a marker.
    shown = packed(f"10 {profile} 0 1 1 0") + b"\x55"
    mark = packed("110 00 001")
    superframe = frame + shown + mark + bytes([len(frame), len(shown)]) + mark
    assert entry("vp9", superframe) == (CLOSED if kind == 0 else None)
    assert not is_hidden("vp9", memoryview(superframe))
    existing = packed(f"10 {profile} 1 {kind}{show}0")
    assert entry("vp9", existing) is None and not is_hidden("vp9", memoryview(existing))


def obu(kind: int, payload: bytes, extension: bool = False) -> bytes:
    """AV1 5.3: forbidden bit, type, extension_flag, has_size_field, reserved; then extension, size, payload."""
    return (
        packed(f"0 {kind:04b} {extension:b} 1 0" + " 001 00 000" * extension)
        + bytes([len(payload)])
        + payload
    )


@pytest.mark.parametrize("extension", [False, True])
def test_av1(extension: bool) -> None:
    delimiter, sequence, frame = obu(2, b"", extension), obu(1, b"\0\0\0\x04", extension), obu(6, b"\x10\x20")
    assert entry("av1", delimiter + sequence + frame) == CLOSED
    assert entry("av1", sequence + frame) == CLOSED  # as MP4 and Matroska hold it
    assert entry("av1", delimiter + frame) is None
    assert entry("av1", frame + sequence) is None
    assert entry("av1", delimiter) is None


CODECS = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9", "av1")
# Random bytes alone hardly ever get past the first start code.
parts = st.sampled_from([b"\0\0\1", b"\0\0\1\x06", b"\0\0\1\x06\x06\x01", b"\0\0\1\xb3", b"\0\0\1\0", b"\0\0\1\xb6",
                         b"\0\0\0\x02\x06\x06", b"\xff" * 5, b"\x12\0", b"\x80", b"\x02\x01"])  # fmt: skip
anything = st.lists(st.one_of(st.binary(max_size=12), parts), max_size=12).map(b"".join)


@given(anything, st.one_of(st.none(), anything, st.sampled_from([AVCC, HVCC, AVCC[:5], HVCC[:22]])))
def test_no_bytes_raise(data: bytes, extradata: bytes | None) -> None:
    for codec in CODECS:
        for cut in (data, data[:1], b""):
            found = entry(codec, cut, extradata)
            assert found is None or found.wait >= 0
            assert isinstance(is_hidden(codec, memoryview(cut)), bool)
            assert isinstance(is_reference(memoryview(cut), extradata), bool)


@pytest.mark.parametrize("codec", CODECS)
def test_an_empty_packet_is_no_entry_and_not_hidden(codec: str) -> None:
    for extradata in (None, b"", AVCC, HVCC):
        assert entry(codec, b"", extradata) is None
    assert not is_hidden(codec, memoryview(b""))


def test_of_other_codecs_nothing_is_known() -> None:
    assert entry_reader("theora", None) is None and entry_reader("prores", b"") is None
    assert not is_hidden("theora", memoryview(b"\0"))
