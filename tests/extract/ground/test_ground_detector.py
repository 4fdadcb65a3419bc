import pytest
import torch

from rhas.extract.ground.detector import resized
from rhas.manifests.common.errors import InputError

SENTENCES = ["The man in the red shirt", "A tall woman, on the left.", "the boy"]


def assert_same(found, expected, atol):
    """Candidates of [sentence][frame], compared in order."""
    for sentence, sentence_expected in zip(found, expected, strict=True):
        for a, b in zip(sentence, sentence_expected, strict=True):
            torch.testing.assert_close(a.scores, b.scores, atol=atol, rtol=0)
            torch.testing.assert_close(a.boxes, b.boxes, atol=atol, rtol=0)


@pytest.fixture
def reconfigured(detector):
    """Changes fields of the detector's config for one test."""
    original = detector.config

    def change(**changes):
        detector.config = original.replace(**changes)
        return detector

    yield change
    detector.config = original


@pytest.fixture
def calls(detector, monkeypatch):
    """The batch sizes that the backbone was run on."""
    original = type(detector.backbone).forward
    seen = []

    def counting(self, pixels, *rest):
        seen.append(len(getattr(pixels, "tensors", pixels)))
        return original(self, pixels, *rest)

    monkeypatch.setattr(type(detector.backbone), "forward", counting)
    return seen


def test_candidates_are_sorted_boxes_in_the_frame(detector, make_frames):
    found = detector.detect(make_frames(2), SENTENCES)
    assert [len(frames) for frames in found] == [2, 2, 2]
    for candidates in (c for frames in found for c in frames):
        assert 0 < len(candidates) <= detector.queries
        assert candidates.boxes.dtype == candidates.scores.dtype == torch.float32
        assert candidates.boxes.min() >= 0 and candidates.boxes.max() <= 1
        assert (candidates.boxes[:, 2:] > candidates.boxes[:, :2]).all()
        assert (candidates.scores.diff() <= 0).all()
    first = [frames[0].scores[0] for frames in found] + [found[0][1].scores[0]]
    assert len(set(map(float, first))) == 4  # the sentence matters, and the frame does


def test_backbone_runs_once_for_all_sentences(detector, calls, make_frames):
    frames = make_frames(2)
    together = detector.detect(frames, SENTENCES)
    assert calls == [2]
    alone = [detector.detect(frames, [sentence])[0] for sentence in SENTENCES]
    assert calls == [2] * 4
    assert_same(together, alone, atol=0)


def test_a_caption_is_read_once_whatever_frames_it_is_asked_about(detector, monkeypatch, make_frames):
    original, rows = type(detector.text_encoder).forward, []

    def counting(self, *args, **kwargs):
        rows.append(len(args[0] if args else kwargs["input_ids"]))
        return original(self, *args, **kwargs)

    frames = make_frames(3)
    with monkeypatch.context() as patched:
        patched.setattr("rhas.extract.ground.once.CAPTIONS", 0)  # none is kept
        each_time = detector.detect(frames, SENTENCES)
    monkeypatch.setattr(type(detector.text_encoder), "forward", counting)
    detector.to(detector.device)  # what was read elsewhere is forgotten
    assert_same(detector.detect(frames, SENTENCES), each_time, atol=1e-5)
    assert rows == [1, 1, 1]
    assert_same(detector.detect(frames, SENTENCES[::-1]), each_time[::-1], atol=1e-5)
    assert rows == [1, 1, 1] and "forward" not in vars(detector.text_encoder)


def test_next_batch_does_not_see_the_last_ones_features(detector, make_frames):
    detector.detect(make_frames(1, seed=1), SENTENCES)
    after = detector.detect(make_frames(1, seed=2), SENTENCES)
    assert_same(after, detector.detect(make_frames(1, seed=2), SENTENCES), atol=0)
    assert "forward" not in vars(detector.backbone)


def test_features_are_forgotten_after_an_exception(detector, monkeypatch, calls, make_frames):
    frames = make_frames(1, seed=3)
    expected = detector.detect(make_frames(1, seed=4), SENTENCES)
    forward, captions = detector.forward, []

    def out_of_memory(pixels, caption):
        captions.append(caption)
        if len(captions) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(pixels, caption)

    with monkeypatch.context() as patch:
        patch.setattr(detector, "forward", out_of_memory)
        with pytest.raises(torch.OutOfMemoryError):
            detector.detect(frames, SENTENCES)
    assert "forward" not in vars(detector.backbone)
    assert_same(detector.detect(make_frames(1, seed=4), SENTENCES), expected, atol=0)


def test_a_frame_alone_and_in_a_batch(detector, make_frames):
    """Equal but for rounding: the fusion subtracts a maximum over the batch before its softmax."""
    frames = make_frames(3, seed=6)
    alone = [detector.detect(frames[i : i + 1], SENTENCES) for i in range(3)]
    expected = [[alone[i][s][0] for i in range(3)] for s in range(len(SENTENCES))]
    assert_same(detector.detect(frames, SENTENCES), expected, atol=1e-4)


def test_joint_grounding_asks_once(reconfigured, monkeypatch, make_frames):
    detector = reconfigured(joint=True)
    forward, texts = detector.forward, []

    def recording(pixels, caption):
        texts.append(caption.text)
        return forward(pixels, caption)

    monkeypatch.setattr(detector, "forward", recording)
    found = detector.detect(make_frames(1), SENTENCES)
    assert texts == ["the man in the red shirt. a tall woman, on the left. the boy."]
    assert len(found) == 3 and all(len(frames[0]) for frames in found)


def test_score_is_over_the_sentences_own_tokens(reconfigured, monkeypatch, make_frames):
    detector = reconfigured(nms_iou=1.0)
    logits = torch.full((1, 2, 256), 9.0)  # delimiters and padding score high, and must not count
    logits[0, :, 1:3] = torch.tensor([[-1.0, 1.0], [0.0, 0.5]])
    boxes = torch.tensor([[[0.3, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2]]])
    monkeypatch.setattr(detector, "forward", lambda pixels, caption: (logits, boxes))
    sigmoid = torch.sigmoid(torch.tensor([[-1.0, 1.0], [0.0, 0.5]]))
    best = detector.detect(make_frames(1), ["ab"])[0][0]
    torch.testing.assert_close(best.scores, sigmoid.amax(-1))
    mean = reconfigured(nms_iou=1.0, score="mean").detect(make_frames(1), ["ab"])[0][0]
    torch.testing.assert_close(mean.scores, sigmoid.mean(-1).flip(0))
    few = reconfigured(nms_iou=1.0, box_threshold=0.8, follow_threshold=0.7).detect(make_frames(1), ["ab"])[
        0
    ][0]
    assert len(few) == 1


def test_bfloat16_autocast(detector, make_frames):
    frames = make_frames(1)
    full = detector.detect(frames, SENTENCES)
    with torch.autocast("cpu", torch.bfloat16):
        half = detector.detect(frames, SENTENCES)
    for (a,), (b,) in zip(half, full, strict=True):
        assert a.scores.dtype == a.boxes.dtype == torch.float32
        assert len(a) and abs(float(a.scores[0] - b.scores[0])) < 0.1


def test_nothing_to_do(detector, make_frames):
    assert detector.detect(make_frames(2), []) == []
    assert detector.detect(make_frames(2)[:0], SENTENCES) == [[], [], []]


def test_frames_of_a_wrong_kind(detector, make_frames):
    with pytest.raises(ValueError, match="expected"):
        detector.detect(make_frames(1).float(), SENTENCES)
    with pytest.raises(ValueError, match="expected"):
        detector.detect(make_frames(1)[0], SENTENCES)


def test_frames_too_small_for_the_models_queries(reconfigured, make_frames):
    with pytest.raises(InputError, match=r"detector\.short_side: got 16: expected.*at least 12 positions"):
        reconfigured(short_side=16, long_side=16).detect(make_frames(1), SENTENCES)


def test_unusable_sentences_are_named(detector, make_frames):
    with pytest.raises(InputError) as caught:
        detector.check(["the man", "?", "word " * 300])
    assert len(caught.value.problems) == 2
    with pytest.raises(InputError):
        detector.detect(make_frames(1), ["the man", "?"])


def test_preparation_is_imagenets_normalisation(detector):
    frames = torch.full((1, 96, 128, 3), 255, dtype=torch.uint8)
    frames[..., 2] = 0
    pixels = detector._prepare(frames)
    assert pixels.shape == (1, 3, 96, 128)
    expected = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, -0.406 / 0.225])
    torch.testing.assert_close(pixels.mean((0, 2, 3)), expected)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1080, 1920), (750, 1333)),
        ((480, 640), (800, 1067)),
        ((640, 480), (1067, 800)),
        ((800, 800), (800, 800)),
    ],
)
def test_resized(size, expected):
    assert resized(*size, 800, 1333) == expected


def test_device(detector):
    assert detector.to("cpu") is detector
    assert detector.device == torch.device("cpu")


def test_no_candidate_above_the_threshold(reconfigured, make_frames):
    found = reconfigured(box_threshold=1.0, follow_threshold=1.0).detect(make_frames(1), SENTENCES)
    assert all(len(frames[0]) == 0 for frames in found)
