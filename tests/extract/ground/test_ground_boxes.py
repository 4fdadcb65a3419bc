import pytest
import torch

from rhas.extract.ground.boxes import (
    MAX_CANDIDATES,
    corners,
    pairwise_iou,
    select,
    select_all,
    suppress,
    unpacked,
)


def naive_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    return width * height / (area - width * height)


def random_corners(count, seed):
    points = torch.rand((count, 2, 2), generator=torch.Generator().manual_seed(seed))
    return torch.cat([points.amin(1), points.amax(1)], dim=-1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_suppression_is_that_of_a_naive_loop(seed, threshold):
    boxes = random_corners(40, seed)
    kept: list[int] = []
    for i, box in enumerate(boxes.tolist()):
        if all(naive_iou(box, boxes[j].tolist()) <= threshold for j in kept):
            kept.append(i)
    assert suppress(boxes, threshold).nonzero().flatten().tolist() == kept


def test_iou_is_that_of_a_naive_loop():
    boxes = random_corners(20, 9)
    expected = [[naive_iou(a, b) for b in boxes.tolist()] for a in boxes.tolist()]
    torch.testing.assert_close(pairwise_iou(boxes), torch.tensor(expected), atol=1e-5, rtol=0)


def test_corners_are_clipped():
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.1, 0.9, 0.4, 0.4]])
    torch.testing.assert_close(corners(boxes), torch.tensor([[0.4, 0.3, 0.6, 0.7], [0.0, 0.7, 0.3, 1.0]]))


def test_select_keeps_what_is_usable_best_first():
    nan, inf = float("nan"), float("inf")
    boxes = torch.tensor(
        [
            [0.5, 0.5, 0.2, 0.2],  # fine
            [0.2, 0.2, 0.2, 0.2],  # best
            [0.5, 0.5, 0.2, 0.21],  # hides behind the first
            [0.8, 0.8, 0.2, 0.2],  # below the threshold
            [0.8, 0.2, 0.0, 0.2],  # no width
            [1.2, 0.2, 0.2, 0.2],  # outside
            [nan, 0.2, 0.2, 0.2],
            [0.2, inf, 0.2, 0.2],
            [0.8, 0.2, 0.2, 0.2],  # score is nan
        ]
    )
    scores = torch.tensor([0.6, 0.9, 0.5, 0.1, 0.9, 0.9, 0.9, 0.9, nan])
    candidates = select(boxes.double(), scores.double(), box_threshold=0.3, nms_iou=0.7)
    torch.testing.assert_close(candidates.scores, torch.tensor([0.9, 0.6]))
    torch.testing.assert_close(candidates.boxes, corners(boxes[[1, 0]]))
    assert candidates.boxes.dtype == candidates.scores.dtype == torch.float32
    assert len(candidates) == 2


def test_select_of_nothing_is_empty():
    candidates = select(torch.rand(5, 4), torch.zeros(5), box_threshold=0.5, nms_iou=0.7)
    assert candidates.boxes.shape == (0, 4) and len(candidates) == 0


def test_select_caps_the_candidates():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand((900, 4), generator=generator) * 0.5 + 0.25
    scores = torch.rand(900, generator=generator)
    candidates = select(boxes, scores, box_threshold=0.0, nms_iou=1.0)
    torch.testing.assert_close(candidates.scores, scores.sort(descending=True).values[:MAX_CANDIDATES])


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("device", ["cpu", "other"])
def test_many_frames_at_once_are_those_selected_one_by_one(threshold, device, monkeypatch):
    """To the bit; other devices look at 100 boxes of each frame, a CPU at as many as there are."""
    if device == "other":
        monkeypatch.setattr("rhas.extract.ground.boxes._count", lambda usable_FQ: MAX_CANDIDATES)
    generator = torch.Generator().manual_seed(3)
    boxes = torch.rand((9, 130, 4), generator=generator) * 1.2 - 0.1
    boxes[1, 3, 0], boxes[2, :, 2] = float("nan"), 0.0  # nothing in frame 2 has a width
    scores = torch.rand((9, 130), generator=generator)
    scores[3] = scores[3].round(decimals=1)  # ties
    scores[4] = 0.0
    scores[5, ::2] = float("nan")
    for at in (0.0, 0.5, 0.999):
        found = unpacked(select_all(boxes, scores, at, threshold))
        for own, frame, score in zip(found, boxes, scores, strict=True):
            expected = select(frame, score, at, threshold)
            assert torch.equal(own.boxes, expected.boxes) and torch.equal(own.scores, expected.scores)
