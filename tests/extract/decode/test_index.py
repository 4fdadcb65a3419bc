"""The index of every kind of movie: its facts, its file, whom it trusts, and what making it costs."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import subprocess
import sys
from dataclasses import fields, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numbered_movies import regular, write_movie

from rhas.extract.decode import index as index_module
from rhas.extract.decode.child import OpenMovie
from rhas.extract.decode.index import NO_ROW, MovieIndex, stored_index
from rhas.extract.decode.indexing import build_index
from rhas.extract.decode.notes import notes_on
from rhas.extract.decode.reader import FrameReader
from tests.truth import numbers

TRUTH = Path(__file__).parents[2] / "truth"
MOVIES = TRUTH / "movies"
SHOWN = json.loads((TRUTH / "shown.json").read_text())


@cache
def indexed(name: str) -> MovieIndex:
    return build_index(str(MOVIES / name))


def truth(name: str) -> list[int]:
    return [number for _, number in SHOWN[name]["frames"]]


# --- facts

EVERY_24 = [0, 24, 48, 72, 96]  # of movies that show 120 frames
FACTS: dict[str, dict[str, Any]] = {
    "h264_closed.mp4": {"codec": "h264", "hidden": 0, "order": "stamps", "interlaced": False, "rate": 30.0},
    "hevc_open.mkv": {"codec": "hevc", "hidden": 0},
    "h264_open_cut.ts": {"codec": "h264", "hidden": 3},  # 21 to 23, stored behind 24
    "h264_refresh_cut.ts": {"frames": 54, "offset_s": 0.6},  # begins with 48, 66 is the first one shown
    "vp8_hidden.webm": {"codec": "vp8", "hidden": 6},
    "vp9_hidden.webm": {"codec": "vp9", "hidden": 0},  # hidden within superframes
    "av1_altref.mp4": {"codec": "av1", "hidden": 0},
    "trimmed.mp4": {"frames": 75, "hidden": 45 - 24},  # cut at 45, kept from the key frame before
    "late_video.mp4": {"offset_s": 1.2},
    "starts_at_5000.ts": {"start_s": 5000.0, "offset_s": 0.0},
    "starts_at_12.mkv": {"start_s": 12.4, "offset_s": 0.0},
    "joined.ts": {"joined_at_s": (2.4,), "frames": 144, "hidden": 0},
    "joined.vob": {"joined_at_s": (2.4,), "frames": 144},
    "jumps.ts": {"joined_at_s": (2.4,), "frames": 144},
    "gap.ts": {"joined_at_s": ()},
    "wraps.ts": {"joined_at_s": ()},
    "still.mkv": {"joined_at_s": ()},
    "mbaff.mp4": {"interlaced": True, "order": "stamps"},
    "mpeg2_field_pictures.ts": {"interlaced": True, "codec": "mpeg2video"},
    "mpeg4_b.avi": {"codec": "mpeg4", "order": "decoding"},
    "mpeg4_packed.avi": {"order": "decoding", "frames": 121, "rate": 25.0},
    "raw.h265": {"order": "decoding", "codec": "hevc"},
    "sar.mp4": {"sample_aspect": "16:11", "coded_width": 192, "width": 279},
    "turned_90_sar.mp4": {"coded_width": 192, "coded_height": 96, "width": 66, "height": 192},
    "pal_dvd.vob": {"coded_width": 720, "width": 1024, "interlaced": True},
    "full_range.mp4": {"range": "JPEG", "pixel_format": "yuvj420p"},
    "pq.mp4": {"transfer": "SMPTE2084", "matrix": "BT2020", "matrix_assumed": False, "primaries": "BT2020"},
    "untagged_hd.mp4": {"matrix": "ITU709", "matrix_assumed": True},
    "tagged_709_sd.mp4": {"matrix": "ITU709", "matrix_assumed": False},
    "fps_23976.mkv": {"rate": round(24000 / 1001, 6)},
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_are_those_that_the_movie_was_made_with(name: str) -> None:
    index = indexed(name)
    expected = {"bytes": (MOVIES / name).stat().st_size, "frames": len(truth(name)), **FACTS[name]}
    found = {key: getattr(index.facts, key) for key in expected}
    assert found == {key: pytest.approx(v) if isinstance(v, float) else v for key, v in expected.items()}
    assert len(index.start_s) == index.facts.frames == len(index.pos) - index.facts.hidden
    assert len(set(index.row.tolist())) == len(index.row)


# Movie: the numbers of frames with which decoding may begin.
ENTRIES = {
    **dict.fromkeys(
        ["h264_closed.mp4", "h264_pyramid.mkv", "h264_open.mp4", "h264_open.ts", "hevc_open.mp4", "hevc_open.mkv",
         "hevc_closed.mp4", "h264_b.avi", "raw.h264", "flv1.flv", "theora.ogv", "every_key.mp4", "no_cues.mkv"],
        EVERY_24,
    ),
    "h264_refresh.mp4": [0, 48, 96],
    "mpeg2_pulldown.mpg": [0],  # its encoder writes one sequence header
    "mjpeg.avi": list(range(90)),
    "ffv1.mkv": list(range(0, 90, 10)),
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRIES)
def test_decoding_may_begin_where_the_encoder_was_told_to(name: str) -> None:
    index = indexed(name)
    number = dict(zip(index.row.tolist(), truth(name), strict=True))
    assert [number[row] for row in index.entry_row.tolist()] == ENTRIES[name]
    times = {number: time_s for time_s, number in SHOWN[name]["frames"]}
    np.testing.assert_allclose(index.entry_s, [times[n] for n in ENTRIES[name]], atol=2e-3)
    # Whole at 66, as ffmpeg says of the movie that begins with 48; else at once.
    ready = [number.get(row) for row in (index.entry_row + index.entry_wait).tolist()]
    assert ready == ([0, 66, 114] if name == "h264_refresh.mp4" else ENTRIES[name])


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("late_video.mp4", "its picture begins 1.200 s after the container's clock"),
        ("joined.ts", "its clock starts again or jumps at 2.400 s"),
        ("raw.h264", "it has no stamps"),
        ("mbaff.mp4", "it is interlaced"),
        ("pq.mp4", "its brightness is coded as PQ"),
        ("hlg.mp4", "its brightness is coded as HLG"),
        ("fps_1.mp4", None),
        ("starts_at_5000.ts", None),
    ],
)
def test_what_is_unusual_is_noted_and_nothing_else(name: str, note: str | None) -> None:
    notes = notes_on(indexed(name))
    assert len(notes) == (note is not None)
    assert all(found.startswith(note or "") for found in notes)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_frames_that_the_container_promises_are_listed_when_they_would_be_shown(
    tmp_path: Path, b_frames: int
) -> None:
    path = write_movie(tmp_path / "m.mp4", regular(150), b_frames=b_frames, index_in_front=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    index = build_index(str(path))
    numbers_ = np.rint(index.start_s * 30)
    np.testing.assert_allclose(index.start_s, numbers_ / 30, atol=1e-3)
    # Frames that others were stored before may be missing from among those that are there.
    assert np.diff(numbers_).min() == 1 and 150 - b_frames <= len(index.start_s) <= 150
    assert index.end_s == pytest.approx(5.0, abs=1e-3)
    there = int((index.row != NO_ROW).sum())
    assert 50 < there < 100 and (index.row[:there] != NO_ROW).all()
    lost = len(index.row) - there
    assert notes_on(index) == [f"its last {lost} frames are promised by the container and not there"]


def test_a_promise_that_cant_be_true_is_noted_and_not_planned_for(tmp_path: Path) -> None:
    """A length of 65 hours in the header of 3 s, as in files whose writer was killed."""
    data = bytearray((MOVIES / "mjpeg.avi").read_bytes())
    length = data.index(b"strh") + 8 + 32
    assert int.from_bytes(data[length : length + 4], "little") == 90
    data[length : length + 4] = (30 * 65 * 3600).to_bytes(4, "little")
    path = tmp_path / "m.avi"
    path.write_bytes(data)
    index = build_index(str(path))
    assert len(index.start_s) == 91 and index.end_s < 3.1
    assert notes_on(index) == ["its last 1 frames are promised by the container and not there"]


def test_decoding_that_can_begin_nowhere_for_long_is_noted() -> None:
    index = indexed("fps_1.mp4")
    first = {name: getattr(index, name)[:1] for name in ("entry_row", "entry_s", "entry_wait", "entry_stamp")}
    (note,) = notes_on(replace(index, **first))
    assert "can't begin anywhere in 96 s" in note


# --- its file


@pytest.mark.parametrize("name", ["h264_closed.mp4", "joined.ts", "turned_90.mp4", "mpeg4_packed.avi"])
def test_it_comes_back_from_its_bytes(name: str) -> None:
    index = indexed(name)
    back = MovieIndex.from_bytes(index.to_bytes())
    for field in fields(index):
        kept, value = getattr(back, field.name), getattr(index, field.name)
        if isinstance(value, np.ndarray):
            assert kept.dtype == value.dtype
            np.testing.assert_array_equal(kept, value)
        else:
            assert kept == value and type(kept) is type(value)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.putenv, ("RHAS_EVIL", "done")


def other_bytes(kind: str) -> bytes:
    good = indexed("h264_closed.mp4").to_bytes()
    buffer = io.BytesIO()
    if kind == "pickle":
        return pickle.dumps(indexed("h264_closed.mp4"))
    if kind == "an array of objects":
        with np.load(io.BytesIO(good)) as stored:
            evil = np.array([Evil()], dtype=object)
            np.savez(buffer, **{**stored, "start_s": evil})
        return buffer.getvalue()
    if kind == "no head":
        np.savez(buffer, start_s=np.zeros(3))
        return buffer.getvalue()
    return {"nothing": b"", "text": b"index", "cut": good[:-100], "zeros": bytes(len(good)),
            "a byte": good[:2000] + bytes([good[2000] ^ 1]) + good[2001:]}[kind]  # fmt: skip


KINDS = ["nothing", "text", "cut", "zeros", "a byte", "pickle", "an array of objects", "no head"]


@pytest.mark.parametrize("kind", KINDS)
def test_anything_else_is_refused(kind: str, tmp_path: Path) -> None:
    data = other_bytes(kind)
    with pytest.raises(ValueError, match="not the index of a movie"):
        MovieIndex.from_bytes(data)
    (tmp_path / "i").write_bytes(data)
    assert stored_index(tmp_path / "i", MOVIES / "h264_closed.mp4") is None


def test_that_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    index = indexed("h264_closed.mp4")
    monkeypatch.setattr(index_module, "INDEX_VERSION", index_module.INDEX_VERSION + 1)
    newer = index.to_bytes()
    assert MovieIndex.from_bytes(newer) is not None
    monkeypatch.undo()
    with pytest.raises(ValueError, match="another version"):
        MovieIndex.from_bytes(newer)


def test_a_stored_index_is_that_of_the_file_as_it_is_now(tmp_path: Path) -> None:
    video, stored = tmp_path / "m.mp4", tmp_path / "i"
    data = (MOVIES / "h264_closed.mp4").read_bytes()
    video.write_bytes(data)
    assert stored_index(stored, video) is None
    index = build_index(str(video))
    stored.write_bytes(index.to_bytes())
    found = stored_index(stored, video)
    assert found is not None and found.facts == index.facts
    made_ns = video.stat().st_mtime_ns
    os.utime(video, ns=(made_ns, made_ns + 1))
    assert stored_index(stored, video) is None
    video.write_bytes(data + b"\0")
    os.utime(video, ns=(made_ns, made_ns))
    assert stored_index(stored, video) is None
    video.write_bytes(data)
    os.utime(video, ns=(made_ns, made_ns))
    assert stored_index(stored, video) is not None
    video.unlink()
    with pytest.raises(OSError):
        stored_index(stored, video)


# --- who may read it


@cache
def for_decord() -> list[str]:
    return [name for name in SHOWN if indexed(name).for_decord]


# It goes to marked packets that aren't clean, counts hidden ones, or shows another shape or other colours.
DANGEROUS = ["hevc_open*", "h264_open*", "h264_refresh*", "vp8_hidden*", "trimmed*", "two_edits*", "every_key*", "*.ts",
             "*.m2ts", "*.avi", "*.vob", "*.mpg", "raw.*", "sar*", "turned*", "mirrored*", "trans*", "upside*", "paff*",
             "mbaff*", "*10bit*", "*_422*", "*_444*", "h264_rgb*", "pq*", "hlg*", "untagged_hd*", "av1*"]  # fmt: skip


def test_decord_shows_the_same_in_any_order_where_it_is_trusted() -> None:
    refused = []
    for name in for_decord():
        path, index, shown = str(MOVIES / name), indexed(name), truth(name)
        decord = OpenMovie(path, index, deinterlace=True, decord=True).decord
        if decord is None:
            refused.append(name)
            continue
        size = index.facts.height, index.facts.width
        own = [image for _, image, _ in FrameReader(path, index).read(list(range(len(shown))), size)]
        draw = random.Random(name)
        for _ in range(6):
            batch = sorted(draw.sample(range(len(shown)), draw.randint(1, 8)))
            images = decord.get_batch(batch).asnumpy()
            assert [numbers.read(image) for image in images] == [shown[number] for number in batch], name
            np.testing.assert_array_equal(images, [own[number] for number in batch], name)
    assert refused == ["every_key.mp4"]  # only opened it shows what decord takes for keys


def test_there_are_movies_for_decord() -> None:
    assert {Path(name).suffix for name in for_decord()} == {".mp4", ".mkv", ".webm"}
    assert {indexed(name).facts.codec for name in for_decord()} == {"h264", "hevc", "vp9"}
    assert len(for_decord()) >= 20


@pytest.mark.parametrize("pattern", DANGEROUS)
def test_what_decord_gets_wrong_it_never_gets(pattern: str) -> None:
    names = [path.name for path in sorted(MOVIES.glob(pattern))]
    assert names
    for name in names:
        movie = OpenMovie(str(MOVIES / name), indexed(name), deinterlace=True, decord=True)
        assert movie.decord is None and movie.reader is not None, name


# --- what it costs


def noisy_movie(path: Path) -> None:
    """Some MB of picture and sound, with its table behind them."""
    draw = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=48000)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.options = {"preset": "ultrafast", "qp": "12"}
        for number in range(50):
            image = draw.integers(0, 256, (240, 320, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
            samples = draw.standard_normal((1, 1920)).astype(np.float32) / 4
            heard = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            heard.sample_rate, heard.pts, heard.time_base = 48000, 1920 * number, Fraction(1, 48000)
            container.mux(sound.encode(heard))
        container.mux(video.encode())
        container.mux(sound.encode())


def test_each_byte_of_a_movie_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "m.mp4"
    noisy_movie(path)
    data = path.read_bytes()
    assert len(data) > 3_000_000 and data.index(b"moov") > data.index(b"mdat") + 3_000_000

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])

    before = bytes_read()
    index = build_index(str(path))
    read = bytes_read() - before
    assert len(index.start_s) == 50
    assert len(data) <= read < 1.1 * len(data)


def test_all_movies_are_indexed_one_after_the_other_in_one_process() -> None:
    """Libraries free what containers hold at odd times: a crash would show here, and cost only this process."""
    code = (
        "import sys, pathlib; from rhas.extract.decode.indexing import build_index\n"
        "for path in 2 * sorted(pathlib.Path(sys.argv[1]).iterdir()): print(len(build_index(str(path)).start_s))"
    )
    done = subprocess.run([sys.executable, "-c", code, MOVIES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [int(line) for line in done.stdout.split()] == 2 * [len(truth(name)) for name in sorted(SHOWN)]
