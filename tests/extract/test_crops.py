import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rhas.extract.crops import _cut_at_once, _whole_at_once, person_crops, pixel_box, whole_frames

BLACK = (0.0, 0.0, 0.0)
GREEN = (0.0, 1.0, 0.0)
RED = torch.tensor([1.0, 0.0, 0.0])


def noise(count: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


def red_rectangle() -> torch.Tensor:
    """A black frame, 100 high and 200 wide, that is red in rows 20 to 60 and columns 50 to 70."""
    frame = torch.zeros(1, 100, 200, 3, dtype=torch.uint8)
    frame[0, 20:60, 50:70, 0] = 255
    return frame


RED_BOX = torch.tensor([[0.25, 0.2, 0.35, 0.6]])


def test_crop_without_margin_holds_the_box_alone():
    crop = person_crops(red_rectangle(), RED_BOX, [0], 32, 0.0, GREEN)[0]
    # 20 x 40 pixels become 16 x 32, in the middle of the square.
    torch.testing.assert_close(crop[:, :, 8:24], RED[:, None, None].expand(3, 32, 16))
    padding = torch.cat([crop[:, :, :8], crop[:, :, 24:]], dim=2)
    assert torch.equal(padding, torch.tensor(GREEN)[:, None, None].expand(3, 32, 16))


def test_margin_is_a_share_of_the_longer_side_on_each_side():
    # The longer side is 40 pixels, a margin of 0.25 is 10: columns 40 to 80, rows 10 to 70.
    assert pixel_box(RED_BOX[0].tolist(), 100, 200, 0.25) == (40, 10, 80, 70)


def test_box_is_clipped_at_the_frames_edge():
    assert pixel_box([0.0, 0.5, 1.0, 1.0], 100, 200, 0.5) == (0, 0, 200, 100)
    assert pixel_box([-0.3, -0.1, 1.2, 0.5], 100, 200, 0.0) == (0, 0, 200, 50)


@pytest.mark.parametrize(
    "box", [[0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [3.0, -2.0, 4.0, -1.0]]
)
def test_the_smallest_crop_has_two_pixels_and_lies_in_the_frame(box):
    left, top, right, bottom = pixel_box(box, 100, 200, 0.0)
    assert right - left == bottom - top == 2
    assert left >= 0 and top >= 0 and right <= 200 and bottom <= 100


@pytest.mark.parametrize("wide", [True, False])
def test_proportions_are_kept(wide):
    frame = torch.full((1, 120, 120, 3), 255, dtype=torch.uint8)
    box = [0.0, 0.0, 1.0, 0.25] if wide else [0.0, 0.0, 0.25, 1.0]
    white = person_crops(frame, torch.tensor([box]), [0], 40, 0.0, BLACK)[0].mean(dim=0) > 0.5
    rows, columns = int(white.any(dim=1).sum()), int(white.any(dim=0).sum())
    assert (rows, columns) == ((10, 40) if wide else (40, 10))


def test_crops_come_from_the_frames_they_belong_to():
    frames = torch.stack([torch.full((10, 10, 3), v, dtype=torch.uint8) for v in (0, 51, 255)])
    boxes = torch.tensor([[0.1, 0.1, 0.9, 0.9]]).expand(4, 4)
    crops = person_crops(frames, boxes, torch.tensor([2, 0, 1, 2]), 8, 0.0, BLACK)
    torch.testing.assert_close(crops.amax(dim=(1, 2, 3)), torch.tensor([1.0, 0.0, 0.2, 1.0]))


def test_batch_and_single_give_the_same_bits():
    frames = noise(3, 54, 97)
    boxes = torch.tensor(
        [[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0], [0.6, 0.1, 0.63, 0.8], [0.4, 0.4, 0.8, 0.5]]
    )
    index = [0, 1, 2, 0]
    together = person_crops(frames, boxes, index, 32, 0.1, GREEN)
    for n, i in enumerate(index):
        alone = person_crops(frames[i : i + 1], boxes[n : n + 1], [0], 32, 0.1, GREEN)
        assert torch.equal(together[n], alone[0])
    for fit in ("squash", "letterbox"):
        together = whole_frames(frames, 32, fit, GREEN)
        assert torch.equal(together, torch.cat([whole_frames(f[None], 32, fit, GREEN) for f in frames]))


numbers = st.floats(-0.5, 1.5)


@settings(max_examples=60, deadline=None)
@given(
    x=st.tuples(numbers, numbers),
    y=st.tuples(numbers, numbers),
    margin=st.floats(0, 2),
    size=st.integers(8, 40),
)
def test_any_box_gives_an_image(x, y, margin, size):
    box = torch.tensor([[min(x), min(y), max(x), max(y)]])
    crop = person_crops(noise(1, 30, 47), box, [0], size, margin, (0.5, 0.4, 0.3))
    assert crop.shape == (1, 3, size, size) and crop.dtype == torch.float32
    assert torch.isfinite(crop).all() and crop.min() >= 0 and crop.max() <= 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_boxes_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        person_crops(noise(1, 20, 20), torch.tensor([[0.1, bad, 0.5, 0.6]]), [0], 8, 0.1, BLACK)


def test_boxes_that_end_before_they_begin_are_refused():
    with pytest.raises(ValueError, match="x1 <= x2"):
        person_crops(noise(1, 20, 20), torch.tensor([[0.6, 0.1, 0.5, 0.6]]), [0], 8, 0.1, BLACK)


def test_misfitting_arguments_are_refused():
    with pytest.raises(ValueError, match="frame index"):
        person_crops(noise(1, 20, 20), RED_BOX, [-1], 8, 0.1, BLACK)
    with pytest.raises(ValueError, match="one box"):
        person_crops(noise(1, 20, 20), RED_BOX, [0, 0], 8, 0.1, BLACK)
    with pytest.raises(ValueError, match="uint8"):
        whole_frames(torch.rand(1, 20, 20, 3), 8, "squash", BLACK)
    with pytest.raises(ValueError, match="fit"):
        whole_frames(noise(1, 20, 20), 8, "stretch", BLACK)  # type: ignore[arg-type]


def test_nothing_in_nothing_out():
    frames = noise(2, 20, 20)
    assert whole_frames(frames[:0], 8, "squash", BLACK).shape == (0, 3, 8, 8)
    assert person_crops(frames, torch.empty(0, 4), [], 8, 0.1, BLACK).shape == (0, 3, 8, 8)


def test_letterbox_keeps_the_sides_and_pads_above_and_below():
    frame = torch.full((1, 50, 100, 3), 255, dtype=torch.uint8)
    image = whole_frames(frame, 40, "letterbox", GREEN)[0]
    torch.testing.assert_close(image[:, 10:30], torch.ones(3, 20, 40))
    assert torch.equal(image[:, :10], torch.tensor(GREEN)[:, None, None].expand(3, 10, 40))


@pytest.mark.parametrize("height, width", [(120, 214), (20, 30)])  # shrunk and enlarged
def test_squash_resizes_as_pillow_does(height, width):
    """The released processors resize with Pillow, bicubic; it rounds to 8 bits after each direction."""
    ramp = torch.linspace(0, 255, height * width).reshape(height, width, 1).expand(-1, -1, 3)
    frame = (noise(1, height, width).float() * 0.5 + ramp * 0.5).to(torch.uint8)
    ours = whole_frames(frame, 64, "squash", BLACK)[0].permute(1, 2, 0) * 255
    theirs = np.asarray(Image.fromarray(frame[0].numpy()).resize((64, 64), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(ours.numpy(), theirs, atol=2)


CLOSE = 1e-3  # a quarter of a level in 255


@settings(max_examples=60, deadline=None)
@given(
    x=st.tuples(numbers, numbers),
    y=st.tuples(numbers, numbers),
    margin=st.floats(0, 0.5),
    size=st.integers(8, 40),
    shape=st.tuples(st.integers(2, 60), st.integers(2, 90)),
)
def test_all_crops_at_once_are_those_cut_one_by_one(x, y, margin, size, shape):
    """As devices do it, by products with matrices; one by one, by torch's interpolation of each cut-out."""
    frames = noise(2, *shape)
    boxes = [
        [min(x), min(y), max(x), max(y)],
        [0.1, 0.2, 0.9, 0.7],
        [0.4, 0.0, 0.5, 1.0],
        [0.0, 0.0, 1.0, 1.0],
    ]
    index = [1, 0, 1, 0]
    cuts = [pixel_box(box, *shape, margin) for box in boxes]
    expected = person_crops(frames, torch.tensor(boxes, dtype=torch.float64), index, size, margin, GREEN)
    torch.testing.assert_close(_cut_at_once(frames, index, cuts, size, GREEN), expected, atol=CLOSE, rtol=0)


def test_a_large_frame_shrunk_much_at_once():
    frames, boxes = noise(1, 720, 1280), torch.tensor([[0.1, 0.05, 0.6, 0.98], [0.0, 0.0, 1.0, 1.0]])
    cuts = [pixel_box(box, 720, 1280, 0.1) for box in boxes.tolist()]
    expected = person_crops(frames, boxes, [0, 0], 224, 0.1, GREEN)
    found = _cut_at_once(frames, [0, 0], cuts, 224, GREEN)
    torch.testing.assert_close(found, expected, atol=CLOSE, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):  # the models' precision isn't the pixels'
        assert torch.equal(_cut_at_once(frames, [0, 0], cuts, 224, GREEN), found)


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
def test_all_whole_frames_at_once_are_those_made_one_by_one(fit):
    frames = noise(3, 54, 97)
    found = _whole_at_once(frames, 32, fit, GREEN)
    torch.testing.assert_close(found, whole_frames(frames, 32, fit, GREEN), atol=CLOSE, rtol=0)
    assert _whole_at_once(frames[:0], 32, fit, GREEN).shape == (0, 3, 32, 32)
    assert _cut_at_once(frames, [], [], 32, GREEN).shape == (0, 3, 32, 32)


def test_a_crop_that_becomes_one_pixel_wide_is_pillows():
    """Torch's own kernel is wrong by up to 0.6 there, in the usual layout of memory."""
    frame = noise(1, 40, 3)
    found = person_crops(frame, torch.tensor([[0.0, 0.0, 1.0, 1.0]]), [0], 8, 0.0, BLACK)[0]
    column = np.asarray(Image.fromarray(frame[0].numpy()).resize((1, 8), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(found[:, :, 3].T.numpy() * 255, column[:, 0], atol=2)
