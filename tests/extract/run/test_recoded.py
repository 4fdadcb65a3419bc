"""A movie recoded in eight ways has the same boxes and features, within what recoding itself costs.

What it costs is known from each recoding's pictures, decoded plainly from its first to its last frame and put through
the same models. Extraction reads them in windows, in whatever order its decoders get them.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from rhas.extract.config import RunOptions, load_config
from rhas.extract.decode.picture import Orientation, Rendering
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.run.accounts import EXIT_DONE
from rhas.extract.run.run import extract
from rhas.extract.run.workers import ModelWorker
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.tables.inputs import load_inputs
from rhas.pipeline.world.writing import World, write_world

FPS, SECONDS = 15, 4
CONFIG = load_config("mini", ["decode.fps=5", "decode.window_frames=8", "tracks.implementation=frames"])
# File, codec and options: closed and open groups, refreshes without keys, hidden frames, B-frames without stamps …
WAYS = {
    "closed.mp4": ("libx264", {"crf": "16", "bf": "2", "g": "24"}),
    "open.mkv": ("libx264", {"crf": "16", "x264-params": "open-gop=1:bframes=3:keyint=24"}),
    "refresh.ts": ("libx264", {"crf": "16", "x264-params": "intra-refresh=1:keyint=24:bframes=0"}),
    "hevc.mp4": ("libx265", {"x265-params": "crf=16:keyint=24:log-level=none"}),
    "vp8.webm": ("libvpx", {"b": "900k", "auto-alt-ref": "1", "lag-in-frames": "16", "g": "24"}),
    "vp9.webm": ("libvpx-vp9", {"crf": "16", "b": "0", "g": "24"}),
    "mpeg2.ts": ("mpeg2video", {"qscale": "2", "bf": "2", "g": "12"}),
    "mpeg4.avi": ("mpeg4", {"qscale": "2", "bf": "2", "g": "24"}),
}


def recode(frames: list[av.VideoFrame], path: Path, codec: str, options: dict[str, str]) -> None:
    times = 2 if codec == "mpeg2video" else 1  # which knows no rate as low
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS * times)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        stream.options = options
        for number in range(len(frames) * times):
            frame = frames[number // times].reformat(format="yuv420p")
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, FPS * times), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def plainly(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.fixture(scope="module")
def recoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of one movie, and a manifest of it and its recodings."""
    folder = tmp_path_factory.mktemp("recoded")
    manifest = write_world(folder, World(movies=1, shortest_s=SECONDS, longest_s=SECONDS, seed=3))
    (movie,) = load_inputs(manifest).manifest.movies
    frames = plainly(movie.video)
    rows = ["movie_id,video,person_id,reference"]
    for name, (codec, options) in WAYS.items():
        recode(frames, folder / name, codec, options)
    for name, video in [("original", movie.video), *((Path(name).stem, folder / name) for name in WAYS)]:
        rows += [f'{name},{video},{person.person_id},"{person.reference}"' for person in movie.persons]
    (folder / "all.csv").write_text("\n".join(rows) + "\n")
    return folder / "all.csv"


@pytest.fixture(scope="module")
def features(recoded: Path, tmp_path_factory: pytest.TempPathFactory) -> FeaturesReader:
    out = tmp_path_factory.mktemp("features") / "f"
    options = RunOptions(decoders=2, workers=1, span_windows=1)  # windows go to whichever decoder is free
    assert extract(load_inputs(recoded), out, CONFIG, options).exit_code == EXIT_DONE
    return FeaturesReader(out)


def test_recodings_have_the_boxes_and_features_of_their_pictures(
    recoded: Path, features: FeaturesReader
) -> None:
    models = ModelWorker(CONFIG, 16, "cpu").models
    for movie in load_inputs(recoded).manifest.movies:
        frames = plainly(movie.video)
        source = features.person(*movie.persons[0].key).source_frame
        assert source[-1] < len(frames) and len(frames) % (SECONDS * FPS) == 0
        rendering, size = Rendering(Orientation(), "ITU601"), (frames[0].height, frames[0].width)
        pixels = np.stack([rendering.picture(frames[at], size) for at in source])
        everywhere = np.ones(len(source), bool)
        window = WindowFrames(Frames(pixels, everywhere, "", False, 0), lead=0)
        rows, _ = models.process(window, movie.persons, [everywhere] * len(movie.persons))
        for person in movie.persons:
            series, own = features.person(*person.key), rows[person.person_id]
            np.testing.assert_array_equal(series.status, own.status, err_msg=movie.movie_id)
            np.testing.assert_allclose(series.box[...], own.box, atol=1e-4, err_msg=movie.movie_id)
            for stream in ("holistic", "partial"):
                got, expected = getattr(series, stream)[...], getattr(own, stream)
                np.testing.assert_allclose(
                    got.astype(float), expected.astype(float), atol=4e-3, err_msg=movie.movie_id
                )


def test_a_recoding_costs_less_than_a_sample(recoded: Path, features: FeaturesReader) -> None:
    """Features of each recoding are nearer to the original's of the same moment than to those of the next."""
    person = load_inputs(recoded).manifest.movies[0].persons[0].person_id
    original = features.person("original", person).holistic[...].astype(float)
    for name in (Path(way).stem for way in WAYS):
        own = features.person(name, person).holistic[...].astype(float)
        same = np.linalg.norm(own[:-1] - original[:-1], axis=1)
        following = np.linalg.norm(own[:-1] - original[1:], axis=1)
        assert np.mean(same < following) >= 0.8 and same.mean() < following.mean(), name
