"""Windows through a scripted detector and encoder, against a plain loop over the whole movie."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_models import WEAK, ScriptedDetector, ScriptedEncoder, box_of, count_of, numbered_frames

from rhas.extract.config import DetectorConfig, ExtractConfig
from rhas.extract.crops import person_crops, whole_frames
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.encode.windows import FeatureError, OnePass
from rhas.manifests.shards.format import SERIES
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.manifest import Person

OUTSIDE, DETECTED, FOLLOWED, MISSING, UNDECODABLE = list(FrameStatus)[:5]
DOUBTFUL = FrameStatus.DOUBTFUL
CPU = torch.device("cpu")


def person(index):
    return Person("movie", f"p{index}", "x" * (index + 1))  # sentences of different lengths


def near(one, other):
    """Whether boxes of the same size, beside each other, share more than half of what they cover together."""
    apart = abs(float(one[0] - other[0]))
    return (0.32 - apart) / (0.32 + apart) > 0.5


class Case:
    """A movie of `length` samples, frame t numbered t + 1, and what the models find in it.

    `weak` maps, for each person, samples with a weak candidate to the sample whose box it has.
    """

    def __init__(
        self, length, seen, weak=None, inside=None, ok=None, follow=2, joint=False, tokens=0, exclusive=False
    ):
        self.ok = np.ones(length, bool) if ok is None else np.asarray(ok, bool)
        self.pixels = numbered_frames([t + 1 if self.ok[t] else 0 for t in range(length)])
        self.persons = [person(i) for i in range(len(seen))]
        self.seen = [set(times) for times in seen]
        self.weak = weak or [{} for _ in seen]
        self.inside = [np.ones(length, bool) if m is None else m for m in inside or [None] * len(seen)]
        self.config = ExtractConfig(
            detector=DetectorConfig(follow_frames=follow, joint=joint, exclusive=exclusive),
            precision="float32",
        )
        self.detector = ScriptedDetector(
            {p.reference: {t + 1 for t in times} for p, times in zip(self.persons, self.seen, strict=True)},
            {
                p.reference: {t + 1: like + 1 for t, like in own.items()}
                for p, own in zip(self.persons, self.weak, strict=True)
            },
        )
        self.encoder = ScriptedEncoder(tokens)

    def one_pass(self, batch=16):
        return OnePass(self.detector, self.encoder, self.config, CPU, batch)

    def window(self, start, stop):
        lead = min(self.config.detector.follow_frames, start)
        rows = slice(start - lead, stop)
        frames = Frames(self.pixels[rows], self.ok[rows], "", False, 0)
        return WindowFrames(frames, lead), [mask[rows] for mask in self.inside]

    def run(self, window_frames=None, batch=16):
        """The series of every person over the whole movie, computed window by window."""
        length = len(self.ok)
        models = self.one_pass(batch)
        parts = []
        for start in range(0, length, window_frames or length):
            window, inside = self.window(start, min(start + (window_frames or length), length))
            rows, timings = models.process(window, self.persons, inside)
            wanted = np.any([m[window.lead :] for m in inside], axis=0) & window.frames.ok[window.lead :]
            assert timings.frames == wanted.sum()
            parts.append(rows)
        return {
            p.person_id: {
                s: np.concatenate([getattr(part[p.person_id], s) for part in parts]) for s in SERIES
            }
            for p in self.persons
        }

    def reference(self):
        """The same, frame by frame and person by person."""
        encoder, config = ScriptedEncoder(self.encoder.tokens), self.config
        expected = {}
        for who, times, weak, inside in zip(self.persons, self.seen, self.weak, self.inside, strict=True):
            n = len(self.ok)
            rows = {
                "holistic": np.full((n, *encoder.feature_shape), np.nan, np.float16),
                "partial": np.full((n, *encoder.feature_shape), np.nan, np.float16),
                "box": np.full((n, 4), np.nan, np.float32),
                "score": np.full(n, np.nan, np.float32),
                "sure": np.full(n, np.nan, np.float32),
                "candidates": np.zeros(n, np.uint16),
                "status": np.full(n, OUTSIDE, np.uint8),
                "track": np.full(n, -1, np.int32),
            }
            found = box = None  # the last detection, and the last box
            for t in range(n):
                if not inside[t]:
                    found = None
                    continue
                if not self.ok[t]:
                    rows["status"][t] = UNDECODABLE
                    continue
                frame = torch.from_numpy(self.pixels[t : t + 1])
                whole = encoder.see(whole_frames(frame, 16, "squash", encoder.fill))
                rows["holistic"][t] = encoder.read(whole, who.reference)[0].numpy()
                if t not in times and t not in weak:
                    rows["status"][t] = MISSING
                    continue
                here = box_of((t if t in times else weak[t]) + 1, who.reference)
                if t in times:
                    found, box = t, here
                    status, score, count = DETECTED, 0.75, count_of(t + 1)
                elif found is not None and t - found <= config.detector.follow_frames and near(box, here):
                    box = here
                    status, score, count = FOLLOWED, WEAK, 1
                else:
                    status, score, count = DOUBTFUL, WEAK, 1
                rows["status"][t], rows["candidates"][t] = status, count
                rows["score"][t] = rows["sure"][t] = score
                rows["box"][t] = here.numpy()
                crop = person_crops(frame, here[None], [0], 16, config.encoder.crop_margin, encoder.fill)
                rows["partial"][t] = encoder.read(encoder.see(crop), who.reference)[0].numpy()
            expected[who.person_id] = rows
        return expected


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for person_id in expected:
        for series in SERIES:
            np.testing.assert_array_equal(
                found[person_id][series], expected[person_id][series], err_msg=f"{person_id} {series}"
            )


@st.composite
def cases(draw):
    length = draw(st.integers(1, 24))
    times = st.sets(st.integers(0, length - 1), max_size=8)
    persons = draw(st.integers(1, 3))
    inside = []
    for _ in range(persons):
        a, b = sorted(draw(st.tuples(st.integers(0, length), st.integers(0, length))))
        inside.append((np.arange(length) >= a) & (np.arange(length) < b))
    lost = draw(times)
    return Case(
        length,
        seen=[draw(times) for _ in range(persons)],
        weak=[
            draw(st.dictionaries(st.integers(0, length - 1), st.integers(0, 5), max_size=12))
            for _ in range(persons)
        ],
        inside=inside,
        ok=[t not in lost for t in range(length)],
        follow=draw(st.integers(0, 6)),
        joint=draw(st.booleans()),
        tokens=draw(st.sampled_from([0, 2])),
    )


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(1, 24), st.integers(1, 8))
def test_any_windows_and_batches_give_what_a_plain_loop_gives(case, window_frames, batch):
    assert_same(case.run(window_frames, batch), case.reference())


def test_result_does_not_depend_on_where_windows_begin():
    generator = np.random.default_rng(5)
    seen = [set(np.flatnonzero(generator.random(150) < share).tolist()) for share in (0.1, 0.5, 0.02)]
    weak = [{int(t): int(t) // 12 * 12 for t in np.flatnonzero(generator.random(150) < 0.6)} for _ in seen]
    case = Case(150, seen, weak, ok=generator.random(150) > 0.1, follow=15)
    whole = case.run()
    assert set(whole["p0"]["status"]) == {DETECTED, FOLLOWED, DOUBTFUL, MISSING, UNDECODABLE}
    assert_same(whole, case.reference())
    for window_frames, batch in ((7, 16), (64, 16), (64, 5), (1, 1)):
        assert_same(case.run(window_frames, batch), whole)


@pytest.mark.parametrize("window_frames", [7, 16, 33])
def test_who_gets_which_box_does_not_depend_on_where_windows_begin(window_frames):
    """Sentences of neighbouring lengths have boxes that overlap: only one of them can have one at a time."""
    generator = np.random.default_rng(8)
    seen = [set(np.flatnonzero(generator.random(100) < share).tolist()) for share in (0.3, 0.3, 0.6)]
    weak = [{int(t): int(t) // 12 * 12 for t in np.flatnonzero(generator.random(100) < 0.5)} for _ in seen]
    t = np.arange(100)
    inside = [t < 60, t >= 20, np.ones(100, bool)]
    case = Case(100, seen, weak, inside, ok=generator.random(100) > 0.1, follow=6, exclusive=True)
    whole = case.run()
    assert_same(case.run(window_frames, batch=5), whole)
    detected = np.stack([whole[f"p{i}"]["status"] == DETECTED for i in range(3)])
    alone = np.stack([case.reference()[f"p{i}"]["status"] == DETECTED for i in range(3)])
    assert (detected <= alone).all() and detected.sum() < alone.sum()


def test_statuses_over_a_window_start():
    # Found at 2; followed past the undecodable 3 and into the second window, up to two frames on.
    case = Case(8, seen=[{2, 7}], weak=[{0: 0, 4: 2, 5: 2}], ok=[True] * 3 + [False] + [True] * 4, follow=2)
    for window_frames in (8, 4, 3):
        rows = case.run(window_frames)["p0"]
        assert rows["status"].tolist() == [
            DOUBTFUL, MISSING, DETECTED, UNDECODABLE, FOLLOWED, DOUBTFUL, MISSING, DETECTED,
        ]  # fmt: skip
        np.testing.assert_array_equal(rows["box"][4], box_of(3, "x").numpy())
        assert rows["holistic"][:, 0].tolist()[4:] == [5, 6, 7, 8]
        assert rows["partial"][4, 0] == 5  # the box is like an old one, the picture is not
        assert np.isnan(rows["partial"][[1, 3, 6]]).all() and np.isnan(rows["holistic"][3]).all()


def test_nobody_is_followed_from_outside_the_interval_into_it():
    inside = [np.arange(8) >= 4]
    case = Case(8, seen=[{3, 6}], weak=[{4: 3, 5: 3, 7: 6}], inside=inside, follow=3)
    for window_frames in (8, 4):
        expected = [OUTSIDE] * 4 + [DOUBTFUL, DOUBTFUL, DETECTED, FOLLOWED]
        assert case.run(window_frames)["p0"]["status"].tolist() == expected


def test_how_sure_follows_from_score_and_status():
    case = Case(4, seen=[{1}], weak=[{0: 0, 2: 1}], follow=2)
    curves = {
        "detected": [(0, 0), (0.5, 0.8), (1, 1)],
        "followed": [(0, 0), (1, 0.5)],
        "doubtful": [(0, 0.1), (1, 0.1)],
    }
    case.config = case.config.replace(detector=case.config.detector.replace(sure=curves))
    rows = case.run()["p0"]
    assert rows["score"].tolist() == pytest.approx([WEAK, 0.75, WEAK, np.nan], nan_ok=True)
    assert rows["sure"].tolist() == pytest.approx([0.1, 0.9, WEAK / 2, np.nan], nan_ok=True)


# --- what is done once


def test_each_frame_is_detected_and_seen_once_for_all_persons():
    everyone = set(range(10))
    case = Case(10, seen=[everyone, everyone, {0, 1}], follow=0)
    case.run(batch=4)
    sentences = ["x", "xx", "xxx"]
    assert case.detector.calls == [([1, 2, 3, 4], sentences), ([5, 6, 7, 8], sentences), ([9, 10], sentences)]
    # Ten whole frames, and a crop for each of 10 + 10 + 2 detections.
    assert len(case.encoder.seen) == 10 + 22
    counts = np.bincount(case.encoder.seen, minlength=11)[1:]
    assert counts.tolist() == [4, 4] + [3] * 8


def test_persons_are_looked_for_only_where_they_are_promised():
    t = np.arange(12)
    case = Case(12, seen=[{0}, {11}], inside=[t < 4, t >= 8], follow=0)
    case.run(batch=4)
    assert case.detector.calls == [([1, 2, 3, 4], ["x"]), ([9, 10, 11, 12], ["xx"])]
    assert sorted(set(case.encoder.seen)) == [1, 2, 3, 4, 9, 10, 11, 12]


def test_joint_captions_always_hold_everyone():
    t = np.arange(12)
    case = Case(12, seen=[{0}, {11}], inside=[t < 6, t >= 8], follow=3, joint=True)
    case.run(4, batch=2)
    assert case.detector.calls and all(sentences == ["x", "xx"] for _, sentences in case.detector.calls)
    assert_same(case.run(4), case.reference())


def lead_in_calls(case, start, stop, batch):
    case.detector.calls.clear()
    window, inside = case.window(start, stop)
    case.one_pass(batch).process(window, case.persons, inside)
    return [call for call in case.detector.calls if max(call[0]) <= start]


def test_the_lead_in_is_not_looked_at_when_the_person_is_there():
    assert lead_in_calls(Case(20, seen=[set(range(20))], follow=6), 10, 20, 2) == []


def test_the_lead_in_is_looked_at_from_its_end_and_as_far_as_needed():
    # Frame t has number t + 1. Window from 10, where weak candidates ask for what was before.
    weak = [{10: 7}, {10: 3, 11: 3}, {14: 12}]
    case = Case(20, seen=[{7}, set(), set(range(12, 20))], weak=weak, follow=6)
    assert lead_in_calls(case, 10, 20, 2) == [
        ([10, 9], ["x", "xx", "xxx"]),
        ([8, 7], ["x", "xx", "xxx"]),  # p0 found
        ([6, 5], ["x", "xx", "xxx"]),
    ]
    # Undecodable up to 14, so only 14 - 6 and later can reach it.
    late = Case(20, seen=[set()], weak=[{14: 3}], follow=6, ok=[not 10 <= t < 14 for t in range(20)])
    assert lead_in_calls(late, 10, 20, 16) == [([10, 9], ["x"])]
    # Without a weak candidate there is nothing to follow to.
    assert lead_in_calls(Case(20, seen=[{7}], follow=6), 10, 20, 16) == []


# --- trouble


@pytest.mark.parametrize(("detector_memory", "encoder_memory"), [(3, 1 << 30), (1 << 30, 3), (1, 1)])
def test_running_out_of_memory_halves_the_batch_and_changes_nothing(detector_memory, encoder_memory):
    case = Case(20, seen=[{1, 2, 3, 9}, {2, 17}], follow=3)
    expected = case.reference()
    case.detector.memory, case.encoder.memory = detector_memory, encoder_memory
    assert_same(case.run(9, batch=16), expected)
    models = case.one_pass(16)
    models.process(*_args(case, 0, 20))
    # 16 frames and crops: halved until they fit, each model for itself.
    sizes = {1: 1, 3: 2, 1 << 30: 16}
    assert models.grounder.batches.size == sizes[detector_memory]
    assert models.encode_batches.size == sizes[encoder_memory]


def _args(case, start, stop):
    window, inside = case.window(start, stop)
    return window, case.persons, inside


def test_crops_alone_can_run_out_of_memory():
    # Two frames make two whole images but six crops.
    case = Case(2, seen=[{0, 1}] * 3)
    expected = case.reference()
    case.encoder.memory = 2
    models = case.one_pass(8)
    rows, _ = models.process(*_args(case, 0, 2))
    assert_same({i: {s: getattr(r, s) for s in SERIES} for i, r in rows.items()}, expected)
    assert models.encode_batches.size == 1  # six crops, three, one


def test_a_frame_too_large_for_memory_is_an_error():
    case = Case(2, seen=[{0}])
    case.detector.memory = 0
    with pytest.raises(torch.OutOfMemoryError):
        case.run()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 7e4])
@pytest.mark.parametrize(("seen", "stream"), [(set(), "holistic"), ({3}, "partial")])
def test_features_that_float16_cant_hold_are_an_error(bad, seen, stream):
    case = Case(6, seen=[seen])
    calls_before = 0 if stream == "holistic" else 1  # whole frames come first

    def change(features):
        return features * bad if case.encoder.reads > calls_before else features

    case.encoder.change = change
    expected = f"{stream} features of person p0 are not finite in float16"
    with pytest.raises(FeatureError, match=f"^{expected}$"):
        case.run()


def test_all_tokens():
    case = Case(3, seen=[{1}], follow=0, tokens=4)
    rows = case.run()["p0"]
    assert rows["holistic"].shape == rows["partial"].shape == (3, 4, 3)
    assert rows["holistic"][:, 3, 0].tolist() == [1, 2, 3]
    assert np.isnan(rows["partial"][[0, 2]]).all() and rows["partial"][1, :, 0].tolist() == [2] * 4


def test_bfloat16_runs_under_autocast():
    case = Case(2, seen=[{0}])
    case.config = ExtractConfig(precision="bfloat16")
    dtypes = []

    def change(features):
        dtypes.append((torch.ones(1, 1) @ torch.ones(1, 1)).dtype)
        assert torch.is_inference_mode_enabled()
        return features.bfloat16()

    case.encoder.change = change
    assert case.run()["p0"]["holistic"].dtype == np.float16
    assert set(dtypes) == {torch.bfloat16}


@pytest.mark.parametrize(("stream", "other"), [("holistic", "partial"), ("partial", "holistic")])
@pytest.mark.parametrize("batch", [16, 2])
def test_a_stream_that_is_not_wanted_is_not_computed(stream, other, batch):
    seen = [{1, 4}, {2}]
    both, only = Case(7, seen, ok=[1, 1, 1, 0, 1, 1, 1]), Case(7, seen, ok=[1, 1, 1, 0, 1, 1, 1])
    only.config = only.config.replace(encoder=only.config.encoder.replace(streams=stream))
    expected, found = both.run(batch=batch), only.run(batch=batch)
    for rows in expected.values():
        rows[other][...] = np.nan
    assert_same(found, expected)
    whole, crops = (
        [1, 2, 3, 5, 6, 7],
        [2, 3, 5],
    )  # numbers of the frames with somebody in them, and of the crops
    assert sorted(only.encoder.seen) == (whole if stream == "holistic" else crops)
    assert sorted(both.encoder.seen) == sorted(whole + crops)
    assert only.detector.calls == both.detector.calls  # boxes and statuses are the same
