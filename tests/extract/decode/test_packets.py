"""Packet by packet: a seek that misses costs no frame, and movies without usable time stamps are refused."""

from pathlib import Path

import numpy as np
import pytest
from hostile_movies import FRAMES, GROUP, write
from numbered_movies import number_of

from rhas.extract.decode import packets

SIZE = (48, 96)


def shown(movie: packets.PacketReader, indices: list[int]) -> list[int]:
    rows = sorted(movie.read(movie.start_s, indices, SIZE), key=lambda row: row[0])
    return [number_of(pixels) for _, pixels, _ in rows if pixels is not None]


@pytest.mark.parametrize("name", ["movie.ts", "movie.avi", "movie.mp4"])
def test_a_seek_that_ends_late_is_tried_from_further_back(tmp_path: Path, name: str) -> None:
    movie = packets.PacketReader(str(write(tmp_path / name, "mpeg4" if name.endswith("avi") else "libx264")))
    assert len(movie.key_dts) == FRAMES // GROUP
    movie.key_dts = [*movie.key_dts[:2], *[movie.key_dts[-1]] * 2]  # the third group's is found in the fourth
    assert shown(movie, [25, 26]) == [25, 26]
    assert shown(movie, [35, 36]) == [35, 36]
    assert shown(movie, [23]) == [23]


def test_reading_on_needs_no_seek_and_reading_back_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = packets.PacketReader(str(write(tmp_path / "movie.ts", "libx264", options={"bf": "2"})))
    opened = []
    whole = packets.PacketReader._opened_at

    def watched(self: packets.PacketReader, first_s: float) -> object:
        opened.append(round(first_s * 30))
        return whole(self, first_s)

    monkeypatch.setattr(packets.PacketReader, "_opened_at", watched)
    for wanted in ([0, 1, 2], [3, 4], [20, 22], [23], [39], [5, 6], [7]):
        assert shown(movie, wanted) == wanted
    assert opened == [0, 5]


def test_stamps_in_the_order_of_storage_are_refused(tmp_path: Path) -> None:
    # AVI has no time stamps: with B-frames in H.264, nothing says which frame is shown when.
    path = write(tmp_path / "movie.avi", "libx264", options={"bf": "2"})
    with pytest.raises(ValueError, match="not in the order in which its frames are shown"):
        packets.PacketReader(str(path))


def test_frames_without_stamps_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "movie.h264", "libx264", options={"bf": "2"})
    with pytest.raises(ValueError, match="no video frames with time stamps"):
        packets.PacketReader(str(path))


def test_single_outliers_are_left_out_and_gaps_are_kept() -> None:
    def kept(pts: list[int]) -> list[int]:
        return [stamp[0] for stamp in packets._without_outliers([(t, t, 1, True) for t in pts], 60)]

    assert kept([0, 1, 999, 2, 3]) == [0, 1, 2, 3]
    assert kept([0, 1, 2, 500, 501, 502]) == [0, 1, 2, 500, 501, 502]
    assert kept([0, 100, 200, 300]) == [0, 100, 200, 300]
    assert kept([7]) == [7] and kept([]) == []
    assert np.array_equal(kept([0, 3, 1, 2]), [0, 3, 1, 2])
