"""Boxes of a tracker's file, as they get into shards with `tracks.implementation: boxes`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rhas.extract.config import SurenessConfig, load_config
from rhas.extract.ground.known_boxes import KnownBoxes
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.manifest import Person

DETECTED, TRACKED, MISSING = FrameStatus.DETECTED, FrameStatus.TRACKED, FrameStatus.MISSING


def test_rows_are_detected_and_what_is_between_is_tracked(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(
        "movie_id,person_id,time_s,x1,y1,x2,y2,track_id,score\n"
        "m,p,0,0,0,.2,.2,4,.5\nm,p,.4,.4,0,.6,.2,4,.9\nm,p,.6,.4,0,.6,.2,5,.9\n"
    )
    time_s, ok = np.arange(6) / 5, np.array([True, True, True, True, True, False])
    inside = np.ones(6, bool)
    inside[0] = False
    persons = [Person("m", "p", "the man"), Person("m", "q", "the woman")]
    sure = SurenessConfig(tracked=((0.0, 0.0), (1.0, 0.5)))
    found = KnownBoxes(path).tracked(persons, [inside, np.ones(6, bool)], time_s, ok, sure)
    own = found["p"]
    assert own.status.tolist() == [
        FrameStatus.OUTSIDE,
        TRACKED,
        DETECTED,
        DETECTED,
        MISSING,
        FrameStatus.UNDECODABLE,
    ]
    np.testing.assert_allclose(own.box[1], [0.2, 0, 0.4, 0.2], atol=1e-6)
    np.testing.assert_allclose(own.score[1:4], [0.7, 0.9, 0.9], atol=1e-6)
    np.testing.assert_allclose(own.sure[1:4], [0.35, 0.9, 0.9], atol=1e-6)
    assert own.track.tolist() == [-1, 4, 4, 5, -1, -1] and np.isnan(own.box[[0, 4, 5]]).all()
    assert found["q"].status.tolist() == [MISSING] * 5 + [FrameStatus.UNDECODABLE]


@pytest.mark.parametrize(("tracks", "detector"), [("boxes", "transformers"), ("builtin", "boxes")])
def test_trackers_and_detectors_that_do_not_go_together(tracks: str, detector: str) -> None:
    settings = [
        f"tracks.implementation={tracks}",
        f"detector.implementation={detector}",
        "detector.refine=null",
    ]
    with pytest.raises(InputError, match=r"tracks\.implementation"):
        load_config("mini", settings)
