"""The decoder process: right frames, a deadline that holds, and nothing lost that had arrived."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_movies import number_of, regular, write_movie

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.indexing import build_index
from rhas.extract.decode.process import DecodeError, DecoderProcess, Frames, NoMovie, fit_short_side
from rhas.extract.decode.windows import WindowDecoder
from rhas.manifests.common.digest import file_key

SIZE = (48, 64)


def numbers(frames: Frames) -> list[int]:
    return [number_of(image) for image in frames.pixels[frames.ok]]


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_movie(tmp_path_factory.mktemp("movies") / "movie.mp4", regular(150))


@pytest.fixture(scope="module")
def index(movie: Path) -> MovieIndex:
    return build_index(str(movie))


def irregular(start_s: float) -> list[float]:
    gaps_s = np.random.default_rng(0).choice([0.02, 0.04, 0.1, 0.5], 120)
    return [start_s + float(t) for t in np.cumsum(gaps_s)]


@pytest.mark.parametrize("start_s", [0.0, 2.5])
@pytest.mark.parametrize("variable", [False, True])
def test_frames_and_times_of_any_start_and_rate(tmp_path: Path, start_s: float, variable: bool) -> None:
    times_s = irregular(start_s) if variable else regular(120, start_s=start_s)
    path = write_movie(tmp_path / "movie.mp4", times_s)
    with DecoderProcess() as decoder:
        index = decoder.index(path)
        np.testing.assert_allclose(index.start_s, np.array(times_s) - times_s[0], atol=1e-4)
        indices = np.array([0, 1, 7, 30, 31, 90, 119])
        frames = decoder.read(path, index, indices, SIZE)
    assert frames.ok.all()
    assert numbers(frames) == indices.tolist()
    assert frames.pixels.shape == (7, *SIZE, 3)


def test_a_damaged_packet_costs_frames_up_to_the_next_key_frame_only(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "movie.mp4", regular(150), keyframe_every=30, b_frames=0)
    with av.open(path) as container:
        packet = [p for p in container.demux(video=0) if p.pos is not None][70]
        position, size = packet.pos, packet.size
    with path.open("r+b") as file:
        file.seek(position)
        file.write(b"\xff" * size)
    with DecoderProcess() as decoder:
        frames = decoder.read(path, decoder.index(path), np.arange(150), SIZE)
    assert numbers(frames) == [*range(70), *range(90, 150)]
    assert frames.reason == "frame 70: damaged movie data"


def test_messages_of_the_codec_are_counted_for_each_read_and_not_kept(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "movie.ts", regular(60), b_frames=0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = b"\xff" * 3000
    path.write_bytes(data)
    with DecoderProcess() as decoder:
        index = decoder.index(path)
        counts = [decoder.read(path, index, np.arange(len(index.start_s)), SIZE).messages for _ in range(4)]
        assert counts[1] > 0 and len(set(counts[1:])) == 1
        assert os.fstat(decoder._stderr.fileno()).st_size == 0


@pytest.mark.parametrize("name", ["movie.mkv", "movie.mp4"])
def test_a_truncated_movie_keeps_what_decodes(tmp_path: Path, name: str) -> None:
    # An mp4 with its index in front still claims all 150 frames when its end is cut off.
    path = write_movie(tmp_path / name, regular(150), b_frames=0, index_in_front=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with DecoderProcess() as decoder:
        index = decoder.index(path)
        frames = decoder.read(path, index, np.arange(len(index.start_s)), SIZE)
    kept = numbers(frames)
    assert kept == list(range(len(kept)))
    assert 50 < len(kept) < 90
    assert frames.ok.all() or frames.reason


def unusable(kind: str, folder: Path) -> Path:
    path = folder / "movie.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "garbage":
        path.write_bytes(bytes(range(256)) * 100)
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "garbage", "directory", "fifo"])
def test_what_is_no_movie_is_refused_with_a_reason(tmp_path: Path, kind: str) -> None:
    path = unusable(kind, tmp_path)
    with DecoderProcess(deadline_s=5) as decoder, pytest.raises(DecodeError) as error:
        decoder.index(path)
    assert str(error.value)
    # Of what only the contents say, it is known that the same bytes will say it again, also behind a pickle.
    assert isinstance(error.value, NoMovie) == (kind == "garbage")
    if kind == "garbage":
        came = pickle.loads(pickle.dumps(error.value))
        assert (came.file, str(came)) == (file_key(path), str(error.value))


class Sabotaged(DecoderProcess):
    """Its first `faulty` children run `code` instead of decoding."""

    def __init__(self, code: str, faulty: int, deadline_s: float = 1.0):
        super().__init__(deadline_s=deadline_s)
        self.code, self.faulty, self.started = code, faulty, 0

    def _command(self, request_fd: int, event_fd: int) -> list[str]:
        self.started += 1
        if self.started > self.faulty:
            return super()._command(request_fd, event_fd)
        return [sys.executable, "-c", self.code, str(request_fd), str(event_fd), str(self._buffer_fd)]


SPINS = "while True: pass"
DIES = "import os; os.kill(os.getpid(), 11)"
HANGS_UP = "import os, sys; os.close(int(sys.argv[2]))\nwhile True: pass"
# Delivers three white frames of 48×64, then spins.
DELIVERS_THEN_SPINS = """
import json, os, sys
from multiprocessing.connection import Connection
requests, events, buffer = (int(a) for a in sys.argv[1:])
events, requests = Connection(events), Connection(requests)
requests.recv_bytes()
events.send_bytes(json.dumps({"needs": "index"}).encode())
requests.recv_bytes()
os.pwrite(buffer, bytes([255]) * (3 * 48 * 64 * 3), 0)
events.send_bytes(json.dumps({"ok": [0, 3]}).encode())
while True: pass
"""


@pytest.mark.parametrize("code", [SPINS, DIES, HANGS_UP])
def test_a_lost_child_is_replaced_and_the_request_repeated(movie: Path, index: MovieIndex, code: str) -> None:
    with Sabotaged(code, faulty=1) as decoder:
        frames = decoder.read(movie, index, np.arange(20), SIZE)
    assert numbers(frames) == list(range(20))
    assert frames.killed and decoder.started == 2


def test_a_child_that_never_answers_is_killed_in_time(movie: Path, index: MovieIndex) -> None:
    clock = time.monotonic()
    with Sabotaged(SPINS, faulty=99) as decoder:
        frames = decoder.read(movie, index, np.arange(20), SIZE)
        with pytest.raises(DecodeError, match="no progress for 1 s") as caught:
            decoder.index(movie)
    assert not isinstance(caught.value, NoMovie), "the next time it may be faster"
    assert not frames.ok.any()
    assert "no progress for 1 s" in frames.reason
    assert time.monotonic() - clock < 20


def test_frames_that_arrived_before_a_hang_are_kept_and_not_read_again(
    movie: Path, index: MovieIndex
) -> None:
    with Sabotaged(DELIVERS_THEN_SPINS, faulty=1) as decoder:
        frames = decoder.read(movie, index, np.arange(20), SIZE)
    assert frames.ok.all()
    assert (frames.pixels[:3] == 255).all()
    assert [number_of(image) for image in frames.pixels[3:]] == list(range(3, 20))


def test_the_child_dies_with_its_parent(movie: Path) -> None:
    code = (
        "import sys, os, numpy as np; from pathlib import Path\n"
        "from rhas.extract.decode.process import DecoderProcess\n"
        f"movie = Path({str(movie)!r}); d = DecoderProcess(); index = d.index(movie)\n"
        f"d.read(movie, index, np.arange(3), {SIZE}); print(d._child.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        stat = Path(f"/proc/{child}/stat")
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the decoder process outlived its parent")


def test_windows_read_in_a_row_equal_windows_read_alone(movie: Path, index: MovieIndex) -> None:
    source = np.repeat(np.arange(150), 2)[:200]  # as when a movie is shown faster than it was shot
    with DecoderProcess() as decoder:
        in_a_row = WindowDecoder(decoder, lead_frames=10)
        for start in range(0, 200, 50):
            lead = min(10, start)
            wanted = source[start - lead : start + 50]
            window = in_a_row.read(movie, index, wanted, start, lead, SIZE)
            alone = WindowDecoder(decoder, lead_frames=10).read(movie, index, wanted, start, lead, SIZE)
            assert [number_of(image) for image in window.frames.pixels] == wanted.tolist()
            np.testing.assert_array_equal(window.frames.pixels, alone.frames.pixels)
            assert window.lead == lead


def test_windows_that_reach_beyond_their_ends_read_no_frame_twice(movie: Path, index: MovieIndex) -> None:
    """But the last one, of which the window before has read everything."""
    source, read = np.arange(103), []
    with DecoderProcess() as decoder:
        plain = decoder.read

        def counted(video: Path, known: MovieIndex, frames: np.ndarray, size: tuple[int, int]) -> Frames:
            read.extend(frames.tolist())
            return plain(video, known, frames, size)

        decoder.read = counted  # type: ignore[method-assign, assignment]
        in_a_row = WindowDecoder(decoder, lead_frames=8)
        for start in range(0, 103, 20):
            first, last = max(0, start - 3), min(start + 20 + 4, 103)
            window = in_a_row.read(movie, index, source[first:last], start, start - first, SIZE)
            assert [number_of(image) for image in window.frames.pixels] == source[first:last].tolist()
            assert window.lead == start - first and window.frames.ok.all()
    assert read == [*range(103), 102]


@pytest.mark.parametrize(
    ("shape", "short_side", "expected"),
    [
        ((1080, 1920), 480, (480, 853)),
        ((1920, 1080), 480, (853, 480)),
        ((240, 426), 480, (240, 426)),
        ((100, 100), 480, (100, 100)),
        ((2, 4000), 16, (1, 256)),  # a strip
    ],
)
def test_frames_are_shrunk_and_never_enlarged(
    shape: tuple[int, int], short_side: int, expected: tuple[int, int]
) -> None:
    assert fit_short_side(*shape, short_side) == expected
