"""Movies as browsers play them: proxies hold every frame at its time; only what was seen to play right is copied.

What browsers show is tried in tests/browser; the movies, and what FFmpeg shows of them, are those of tests/truth.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from rhas.extract.decode.process import DecodeError, DecoderProcess
from rhas.pipeline.viewer.media import Proxies, index_of, plays, provide
from tests.truth import numbers

TRUTH = Path(__file__).parents[2] / "truth"
SHOWN = json.loads((TRUTH / "shown.json").read_text())
# Chromium plays the first ones; of the others it shows other frames, or none.
PLAYED = (
    "h264_closed.mp4",
    "sound.mp4",
    "turned_90.mp4",
    "vp9_hidden.webm",
    "av1_svt.webm",
    "uneven.mp4",
)
NOT_PLAYED = (
    "every_key.mp4", "h264_refresh.mp4", "starts_at_5.mp4", "late_video.mp4", "no_edits.mp4", "fragmented.mp4",
    "mbaff_fields.mp4", "mirrored.mp4", "hevc_closed.mp4", "h264_10bit.mp4", "mpeg4_b.mp4", "mjpeg.mov", "h264_open.ts",
    "starts_at_12.mkv", "h264_b.avi", "two_edits.mp4", "trimmed_both.mp4",
)  # fmt: skip


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    with DecoderProcess() as process:
        yield process


@pytest.mark.parametrize("name", PLAYED + NOT_PLAYED)
def test_what_is_copied(decoder: DecoderProcess, name: str) -> None:
    path = TRUTH / "movies" / name
    assert plays(path, decoder.index(path)) == (name in PLAYED)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("uneven.mkv", "h264"), ("starts_at_12.mkv", "h264"), ("h264_b.avi", "h264"), ("still.mkv", "vp9"),
        ("turned_90_sar.mp4", "h264"), ("joined.ts", "h264"), ("fps_1.mp4", "vp9"),
    ],
)  # fmt: skip
def test_a_proxy_has_every_frame_at_its_time(
    decoder: DecoderProcess, tmp_path: Path, name: str, codec: str
) -> None:
    path = TRUTH / "movies" / name
    media = provide(
        tmp_path, path, decoder.index(path), decoder, Proxies(codec=codec), copy=False, say=lambda line: None
    )
    with av.open(tmp_path / media.name) as container:
        stream = container.streams.video[0]
        assert not container.streams.audio and stream.codec_context.has_b_frames == 0
        found = [
            (float(frame.pts * frame.time_base), numbers.read(frame.to_ndarray(format="rgb24")))
            for frame in container.decode(stream)
        ]
        ends = float(container.duration / 1e6)
    expected = SHOWN[name]["frames"]
    assert [number for _, number in found] == [number for _, number, *_ in expected]
    # WebM counts milliseconds.
    np.testing.assert_allclose([t for t, _ in found], [t for t, *_ in expected], atol=1.1e-3)
    assert ends > found[-1][0] + 0.01  # the last one is seen, too
    assert [p.name for p in tmp_path.iterdir()] == [media.name]


def test_a_fast_movie_is_thinned_out_and_a_large_one_made_small(
    decoder: DecoderProcess, tmp_path: Path
) -> None:
    path = TRUTH / "movies" / "fps_240.mp4"
    media = provide(
        tmp_path, path, decoder.index(path), decoder, Proxies(48), copy=False, say=lambda line: None
    )
    assert (media.width, media.height) == (96, 48)
    shown = {round(t, 4): n for t, n, *_ in SHOWN["fps_240.mp4"]["frames"]}
    with av.open(tmp_path / media.name) as container:
        frames = [
            (float(f.pts * f.time_base), numbers.read(f.to_ndarray(format="rgb24")))
            for f in container.decode(video=0)
        ]
    assert len(frames) == 18  # 30 a second
    for time_s, number in frames:
        assert number == shown[min(shown, key=lambda t: abs(t - time_s))]


def test_a_file_that_has_changed_is_told(decoder: DecoderProcess, tmp_path: Path) -> None:
    path = TRUTH / "movies" / "sound.mp4"
    with pytest.raises(DecodeError, match="has changed"):
        index_of(decoder, path, None, "0" * 32)
