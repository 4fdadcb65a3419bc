"""From samples to pictures: orientation, size, fields and colours, by closed forms and the standards' coefficients."""

from __future__ import annotations

from itertools import product

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rhas.extract.decode.picture import Orientation, Rendering, assumed_matrix, resized

Image = NDArray[np.uint8]
PLAIN = Rendering(Orientation(), "ITU601")


# --- orientation


def placed(image: Image, a: int, b: int, c: int, d: int) -> Image:
    """ISO/IEC 14496-12 8.3.2: what is at (x, y) is shown at (ax + cy, bx + dy), and then moved into the picture."""
    height, width = image.shape[:2]
    to = {(y, x): (b * x + d * y, a * x + c * y) for y, x in product(range(height), range(width))}
    top, left = (min(at[axis] for at in to.values()) for axis in (0, 1))
    rows, columns = (max(at[axis] for at in to.values()) for axis in (0, 1))
    shown = np.zeros((rows - top + 1, columns - left + 1, 3), np.uint8)
    for (y, x), (row, column) in to.items():
        shown[row - top, column - left] = image[y, x]
    return shown


EIGHT = [
    (1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0),
    (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0),
]  # fmt: skip


def display_matrix(a: float, b: float, c: float, d: float) -> tuple[int, ...]:
    return round(a * 65536), round(b * 65536), 0, round(c * 65536), round(d * 65536), 0, 0, 0, 1 << 30


@pytest.mark.parametrize("matrix", EIGHT)
def test_each_of_the_eight_matrices_puts_every_pixel_where_the_standard_says(
    matrix: tuple[int, int, int, int],
) -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    orientation = Orientation.of_matrix(display_matrix(*matrix))
    np.testing.assert_array_equal(orientation.apply(image), placed(image, *matrix))
    assert orientation.sideways == (matrix[0] == 0)


def test_the_eight_have_names_of_their_own() -> None:
    names = [str(Orientation.of_matrix(display_matrix(*matrix))) for matrix in EIGHT]
    assert names[0] == "upright" and len(set(names)) == 8
    assert [name.startswith("mirrored") for name in names] == [False] * 4 + [True] * 4


@pytest.mark.parametrize("scale", [0.5, 1, 3])
@pytest.mark.parametrize("degrees", [-44, 3, 44])
@pytest.mark.parametrize("matrix", EIGHT)
def test_an_odd_angle_counts_as_the_nearest_quarter(
    matrix: tuple[int, int, int, int], degrees: int, scale: float
) -> None:
    a, b, c, d = matrix
    cos, sin = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    turned = display_matrix(a * cos - b * sin, a * sin + b * cos, c * cos - d * sin, c * sin + d * cos)
    assert Orientation.of_matrix(turned) == Orientation.of_matrix(display_matrix(*matrix))


# --- size


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("down", "across"), [(2, 2), (3, 4), (1, 5), (8, 1)])
def test_shrinking_by_whole_factors_takes_the_mean_of_each_block(down: int, across: int) -> None:
    image = noise(24 * down, 20 * across)
    means = image.reshape(24, down, 20, across, 3).mean(axis=(1, 3))
    shrunk = resized(image, (24, 20))
    assert shrunk.shape == (24, 20, 3) and shrunk.dtype == np.uint8
    assert np.abs(shrunk - means).max() <= 1


@pytest.mark.parametrize("size", [(37, 41), (60, 11), (16, 80), (5, 7)])
def test_shrinking_keeps_the_mean(size: tuple[int, int]) -> None:
    image = noise(60, 80)
    image[:30] //= 4  # not the same everywhere
    np.testing.assert_allclose(resized(image, size).mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=0.5)


def test_the_same_size_changes_nothing() -> None:
    image = noise(31, 17)
    np.testing.assert_array_equal(resized(image, (31, 17)), image)


@pytest.mark.parametrize("size", [(31, 17), (7, 5), (90, 64), (64, 9), (9, 64), (1, 1), (480, 853)])
def test_one_colour_stays_that_colour(size: tuple[int, int]) -> None:
    colour = np.array([3, 128, 251], np.uint8)
    shown = resized(np.broadcast_to(colour, (31, 17, 3)), size)
    assert shown.shape == (*size, 3) and (shown == colour).all()


# --- colours

# Kr and Kb of ITU-T H.273's matrix coefficients, by their numbers there.
WEIGHTS = {
    1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593),
}  # fmt: skip
COLOURS = np.array(
    [[235, 235, 235], [16, 16, 16], [128, 128, 128], [220, 30, 30], [30, 200, 30], [30, 30, 220], [220, 220, 30],
     [200, 120, 90], [60, 140, 200], [250, 5, 250]], np.float64,
)  # fmt: skip
LIMITED, FULL = 1, 2
PATCH = 16


def yuv(matrix: int, full: bool, depth: int = 8) -> NDArray[np.float64]:
    """H.273 8.3: [3, n], Y', Cb and Cr of the colours."""
    kr, kb = WEIGHTS[matrix]
    red, green, blue = COLOURS.T / 255
    light = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - light) / (2 - 2 * kb), (red - light) / (2 - 2 * kr)
    scale, middle = 1 << (depth - 8), 1 << (depth - 1)
    if full:
        top = (1 << depth) - 1
        return np.stack([top * light, top * cb + middle, top * cr + middle])
    return np.stack([scale * (219 * light + 16), scale * 224 * cb + middle, scale * 224 * cr + middle])


def frame_of(planes: NDArray[np.float64], pixel_format: str) -> av.VideoFrame:
    """A frame with a square of each colour."""
    frame = av.VideoFrame(PATCH * planes.shape[1], PATCH, pixel_format)
    for plane, values in zip(frame.planes, planes, strict=True):
        deep = pixel_format.endswith("10le")
        row = np.repeat(np.rint(values), plane.width // len(values)).astype(np.uint16 if deep else np.uint8)
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : row.nbytes] = row.view(np.uint8)
        plane.update(rows.tobytes())
    return frame


def colours_of(picture: Image) -> NDArray[np.int64]:
    return picture[PATCH // 2, PATCH // 2 :: PATCH].astype(np.int64)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", WEIGHTS)
def test_colours_come_back_by_the_matrix_and_range_that_the_frame_names(
    matrix: int, colour_range: int, pixel_format: str
) -> None:
    depth = 10 if pixel_format.endswith("10le") else 8
    frame = frame_of(yuv(matrix, colour_range == FULL, depth), pixel_format)
    frame.colorspace, frame.color_range = matrix, colour_range
    for rendering in (PLAIN, Rendering(Orientation(), "ITU709")):  # not asked where the frame says it
        shown = rendering.picture(frame, (PATCH, PATCH * len(COLOURS)))
        np.testing.assert_allclose(colours_of(shown), COLOURS, atol=3)


@pytest.mark.parametrize(("assumed", "matrix"), [("ITU601", 5), ("ITU709", 1)])
def test_a_frame_that_says_nothing_is_read_as_its_movie_and_in_limited_range(
    assumed: str, matrix: int
) -> None:
    shown = Rendering(Orientation(), assumed).picture(
        frame_of(yuv(matrix, full=False), "yuv420p"), (PATCH, PATCH * len(COLOURS))
    )
    np.testing.assert_allclose(colours_of(shown), COLOURS, atol=3)


def test_a_format_of_full_range_needs_no_tag() -> None:
    shown = PLAIN.picture(frame_of(yuv(5, full=True), "yuvj420p"), (PATCH, PATCH * len(COLOURS)))
    np.testing.assert_allclose(colours_of(shown), COLOURS, atol=3)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(720, 576, "ITU601"), (1278, 576, "ITU601"), (1280, 96, "ITU709"), (1920, 1080, "ITU709"),
     (320, 578, "ITU709"), (192, 96, "ITU601")],
)  # fmt: skip
def test_players_take_709_for_hd_and_601_below_where_nothing_is_said(
    width: int, height: int, expected: str
) -> None:
    frame = av.VideoFrame(width, height, "yuv420p")
    assert assumed_matrix(frame) == (expected, True)
    frame.colorspace = 9
    assert assumed_matrix(frame) == ("BT2020", False)
    assert not assumed_matrix(av.VideoFrame(width, height, "gbrp"))[
        1
    ]  # has none, so there is nothing to guess


def test_first_turned_then_sized() -> None:
    frame = frame_of(yuv(5, full=False), "yuv420p")
    upright = PLAIN.picture(frame, (PATCH, PATCH * len(COLOURS)))
    turned = Rendering(Orientation.of_matrix(display_matrix(0, 1, -1, 0)), "ITU601")  # clockwise
    shown = turned.picture(frame, (40, 8))
    np.testing.assert_array_equal(
        shown, resized(np.asarray(cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE), np.uint8), (40, 8))
    )


# --- fields


def marked(frame: av.VideoFrame, mode: str) -> av.VideoFrame:
    """The frame, said to be interlaced with its top or bottom field first ("tff", "bff"), or not at all ("prog")."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=1)
    setfield, sink = graph.add("setfield", mode), graph.add("buffersink")
    source.link_to(setfield)
    setfield.link_to(sink)
    graph.configure()
    source.push(frame)
    return sink.pull()


def woven(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> av.VideoFrame:
    """A 4:2:0 frame whose fields have one colour each, by its Y, Cb and Cr."""
    frame = av.VideoFrame(64, 32, "yuv420p")
    for plane, upper, lower in zip(frame.planes, top, bottom, strict=True):
        rows = np.full((plane.height, plane.line_size), upper, np.uint8)
        rows[1::2] = lower
        plane.update(rows.tobytes())
    return frame


TOP, BOTTOM = (180, 100, 160), (60, 150, 90)


def one_colour(samples: tuple[int, int, int]) -> Image:
    return PLAIN.picture(woven(samples, samples), (32, 64))


@pytest.mark.parametrize(("mode", "first"), [("tff", TOP), ("bff", BOTTOM)])
def test_of_two_fields_the_first_is_shown_in_full_height(mode: str, first: tuple[int, int, int]) -> None:
    frame = marked(woven(TOP, BOTTOM), mode)
    assert np.abs(PLAIN.picture(frame, (32, 64)).astype(int) - one_colour(first)).max() <= 1
    both = PLAIN.picture(frame, (32, 64), deinterlace=False).astype(int)
    assert np.abs(both[::2] - one_colour(TOP)[::2]).max() <= 1
    assert np.abs(both[1::2] - one_colour(BOTTOM)[1::2]).max() <= 1


def test_frames_that_are_not_interlaced_are_left_alone() -> None:
    frame = marked(woven(TOP, BOTTOM), "prog")
    np.testing.assert_array_equal(
        PLAIN.picture(frame, (32, 64)), PLAIN.picture(frame, (32, 64), deinterlace=False)
    )


def test_a_deinterlaced_picture_depends_on_its_frame_only() -> None:
    """After a seek there are no frames before it."""

    def interlaced(seed: int) -> av.VideoFrame:
        image = np.random.default_rng(seed).integers(0, 256, (32, 64, 3), dtype=np.uint8)
        return marked(av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p"), "tff")

    alone = [PLAIN.picture(interlaced(seed), (32, 64)) for seed in range(4)]
    assert len({picture.tobytes() for picture in alone}) == 4
    for seed in (3, 1, 0, 2, 2, 1):
        np.testing.assert_array_equal(PLAIN.picture(interlaced(seed), (32, 64)), alone[seed])
