"""Movies that lost something without a complaint: no picture of another moment, no clock that stretches."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_movies import picture

from rhas.extract.decode.indexing import build_index
from rhas.extract.decode.reader import FrameReader
from tests.truth import numbers

MOVIES = Path(__file__).parents[2] / "truth" / "movies"
SIZE = (96, 192)


def wrong(path: Path, index: object, moments: np.ndarray | None = None) -> list[tuple[int, int | None]]:
    """Shown frames whose picture isn't that of their moment (at 30 frames a second)."""
    reader = FrameReader(str(path), index)  # type: ignore[arg-type]
    frames = list(range(len(reader.index.start_s)))
    expected = np.array(frames) if moments is None else np.round(moments * 30).astype(int)
    read = [(n, numbers.read(image)) for n, image, _ in reader.read(frames, SIZE) if image is not None]
    assert len(read) > len(frames) // 3  # most are there
    return [(n, number) for n, number in read if number != expected[n]]


@pytest.mark.parametrize("rate", [1, 5, 8, 12, 25])
def test_joined_recordings_of_few_frames_a_second(tmp_path: Path, rate: int) -> None:
    with av.open(str(tmp_path / "a.ts"), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        stream.options = {"bf": "0", "g": "5", "preset": "ultrafast"}
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    one = (tmp_path / "a.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(one + one)
    index = build_index(str(tmp_path / "joined.ts"))
    np.testing.assert_allclose(index.start_s, np.arange(40) / rate, atol=1e-3)


def test_one_missing_stamp_is_filled_in(tmp_path: Path) -> None:
    data = bytearray((MOVIES / "gap.ts").read_bytes())
    cells = range(0, len(data), 188)
    heads = [at for at in cells if data[at + 1] & 0x40 and (data[at + 1] & 31) << 8 | data[at + 2] == 0x100]
    data[data.index(b"\0\0\1\xe0", heads[10]) + 7] = 0  # neither of both stamps (ISO/IEC 13818-1, 2.4.3.7)
    (tmp_path / "movie.ts").write_bytes(data)
    index, whole = build_index(str(tmp_path / "movie.ts")), build_index(str(MOVIES / "gap.ts"))
    assert len(index.start_s) == len(whole.start_s) == 144
    np.testing.assert_allclose(index.start_s, whole.start_s, atol=0.04)
    assert index.facts.start_s == pytest.approx(1.466667) and index.facts.order == "stamps"


def test_field_pictures_have_the_stamps_of_their_container() -> None:
    facts = build_index(str(MOVIES / "paff.ts")).facts
    assert (facts.order, facts.start_s, facts.offset_s) == (
        "stamps",
        pytest.approx(0.04),
        pytest.approx(0, abs=1e-3),
    )


@pytest.mark.parametrize("name", ["h264_closed.mp4", "h264_refresh.mp4"])
def test_frames_shown_before_what_they_refer_to_is_known_to_be_damaged(tmp_path: Path, name: str) -> None:
    data, index = bytearray((MOVIES / name).read_bytes()), build_index(str(MOVIES / name))
    pos, size = int(index.pos[22]), int(index.size[22])
    data[pos + 20 : pos + size] = random.Random(3).randbytes(size - 20)
    (tmp_path / name).write_bytes(data)
    assert wrong(tmp_path / name, build_index(str(tmp_path / name))) == []


@pytest.mark.parametrize("name", ["h264_open.mkv", "mpeg2_open.ts"])
def test_a_movie_that_rotted_after_it_was_indexed(tmp_path: Path, name: str) -> None:
    data, index = bytearray((MOVIES / name).read_bytes()), build_index(str(MOVIES / name))
    pos, size = int(index.pos[35]), int(index.size[35])
    data[pos : pos + size] = b"\xff" * size
    (tmp_path / name).write_bytes(data)
    assert wrong(tmp_path / name, index) == []


@pytest.mark.parametrize(
    ("name", "cell"), [("h264_open.ts", 80), ("starts_at_5000.ts", 118), ("hevc_open.ts", 90)]
)
def test_a_lost_cell_that_no_decoder_complains_of(tmp_path: Path, name: str, cell: int) -> None:
    data = (MOVIES / name).read_bytes()
    (tmp_path / "movie.ts").write_bytes(data[: 188 * cell] + data[188 * (cell + 1) :])
    index = build_index(str(tmp_path / "movie.ts"))
    later_s = index.facts.start_s - build_index(str(MOVIES / name)).facts.start_s
    assert wrong(tmp_path / "movie.ts", index, index.start_s + later_s) == []


@pytest.mark.parametrize("name", ["h264_closed.mp4", "h264_open.mkv", "hevc_open.mp4", "mpeg2_open.ts"])
def test_a_seek_lands_on_its_entry(name: str) -> None:
    index = build_index(str(MOVIES / name))
    for at, row in enumerate(index.entry_row[1:], 1):
        with av.open(str(MOVIES / name)) as container:
            stream = container.streams.video[0]
            if index.by_byte:
                container.seek(int(index.pos[row]), unsupported_byte_offset=True)
            else:
                container.seek(int(index.entry_stamp[at]), stream=stream)
            assert next(p for p in container.demux(stream) if p.size).pos == index.pos[row]


def test_packets_at_other_places_are_refused() -> None:
    index = build_index(str(MOVIES / "mpeg2_open.vob"))
    index = replace(index, pos=np.where(index.pos < 0, index.pos, index.pos + 100))
    assert all(
        image is None for _, image, _ in FrameReader(str(MOVIES / "mpeg2_open.vob"), index).read([100], SIZE)
    )
