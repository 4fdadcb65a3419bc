"""Pictures that show a number, four corner colours and a square, and reading them back.

A picture has four bands of equal height: red and green; the number's bits; the bits inverted and in reverse
order; blue and yellow. A bit that was read from two frames at once (blended pictures, fields or parts of two
frames) contradicts its twin, so a mixed picture has no number. The bands of bits have 14 columns: five bits,
a grey field of four columns with the white square in it, five bits.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

COLOURS = {"R": (220, 30, 30), "G": (30, 200, 30), "B": (30, 30, 220), "Y": (220, 220, 30)}
UPRIGHT = "RGBY"
BLACK, GREY, WHITE = 20, 110, 235
COLUMNS = 14
BIT_COLUMNS = (0, 1, 2, 3, 4, 9, 10, 11, 12, 13)
BITS = len(BIT_COLUMNS)
# A twin pair must differ by this share of the clearest pair's difference, and that by so many levels.
SURE, CONTRAST = 0.6, 60.0

# What makes an upright picture of one whose corners read as the key.
_TO_UPRIGHT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "RGBY": lambda p: p,
    "GRYB": lambda p: p[:, ::-1],
    "BYRG": lambda p: p[::-1],
    "YBGR": lambda p: p[::-1, ::-1],
    "RBGY": lambda p: p.swapaxes(0, 1),
    "BRYG": lambda p: np.rot90(p, 1),
    "GYRB": lambda p: np.rot90(p, -1),
    "YGBR": lambda p: p[::-1, ::-1].swapaxes(0, 1),
}


def draw(number: int, width: int, height: int, sar: Fraction = Fraction(1)) -> np.ndarray:
    """The picture [H,W,3] of a number; its square is one where pixels are shown `sar` times as wide as high."""
    if not 0 <= number < 1 << BITS:
        raise ValueError(f"{number} doesn't fit into {BITS} bits")
    picture = np.full((height, width, 3), GREY, np.uint8)
    xs = [round(width * c / COLUMNS) for c in range(COLUMNS + 1)]
    top, middle, bottom = height // 4, height // 2, height - height // 4
    for bit, column in enumerate(BIT_COLUMNS):
        twin = BIT_COLUMNS[BITS - 1 - bit]
        light = (number >> bit) & 1
        picture[top:middle, xs[column] : xs[column + 1]] = WHITE if light else BLACK
        picture[middle:bottom, xs[twin] : xs[twin + 1]] = BLACK if light else WHITE
    side = min(0.4 * height, 0.24 * width * float(sar))
    half_h, half_w = round(side / 2), round(side / float(sar) / 2)
    picture[middle - half_h : middle + half_h, width // 2 - half_w : width // 2 + half_w] = WHITE
    half = width // 2
    picture[:top, :half], picture[:top, half:] = COLOURS["R"], COLOURS["G"]
    picture[bottom:, :half], picture[bottom:, half:] = COLOURS["B"], COLOURS["Y"]
    return picture


def corners(picture: np.ndarray) -> str:
    """The colours top left, top right, bottom left, bottom right, "RGBY" if upright; "?" for any other colour."""
    return "".join(_letter(_mean(picture, x, y, 0.04, 0.04)) for y in (0.1, 0.9) for x in (0.1, 0.9))


def corner_colours(picture: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """The mean colour in each corner by its letter, to hold against COLOURS."""
    found = [_mean(picture, x, y, 0.04, 0.04) for y in (0.1, 0.9) for x in (0.1, 0.9)]
    return {_letter(colour): (float(colour[0]), float(colour[1]), float(colour[2])) for colour in found}


def read(picture: np.ndarray) -> int | None:
    """The number in a picture [H,W,3] of any size and orientation; None where it can't be read for sure."""
    turn = _TO_UPRIGHT.get(corners(picture))
    if turn is None:
        return None
    grey = turn(picture).astype(np.float64).mean(axis=2, keepdims=True)
    cell_x, cell_y = 0.2 / COLUMNS, 0.05
    plain = np.array([_mean(grey, (c + 0.5) / COLUMNS, 0.375, cell_x, cell_y)[0] for c in BIT_COLUMNS])
    twins = np.array([_mean(grey, (c + 0.5) / COLUMNS, 0.625, cell_x, cell_y)[0] for c in BIT_COLUMNS[::-1]])
    difference = plain - twins
    clearest = np.abs(difference).max()
    if clearest < CONTRAST or np.abs(difference).min() < SURE * clearest:
        return None
    return sum(1 << bit for bit in range(BITS) if difference[bit] > 0)


def aspect(picture: np.ndarray) -> float | None:
    """Width of the square over its height as measured: 1 in a picture of the right aspect."""
    turn = _TO_UPRIGHT.get(corners(picture))
    if turn is None:
        return None
    grey = turn(picture).astype(np.float64).mean(axis=2)
    h, w = grey.shape
    # The field is 4/14 of the width and half of the height; its rim is grey.
    across = grey[round(0.46 * h) : round(0.54 * h), round(0.365 * w) : round(0.635 * w)].mean(axis=0)
    down = grey[round(0.265 * h) : round(0.735 * h), round(0.47 * w) : round(0.53 * w)].mean(axis=1)
    wide, high = _extent(across), _extent(down)
    ratio = wide / high if wide and high else None
    # Turned by a quarter, the picture's width is the upright one's height.
    quarter = corners(picture) in ("RBGY", "BRYG", "GYRB", "YGBR")
    return 1 / ratio if ratio and quarter else ratio


def _extent(line: np.ndarray) -> float | None:
    """How many pixels of the line are light, parts of pixels included."""
    dark, light = (line[0] + line[-1]) / 2, line[len(line) // 2]
    if light - dark < CONTRAST / 2:
        return None
    return float(np.clip((line - dark) / (light - dark), 0, 1).sum())


def _mean(picture: np.ndarray, x: float, y: float, dx: float, dy: float) -> np.ndarray:
    """The mean colour within ±dx, ±dy of a place, all as shares of width and height; at least one pixel."""
    h, w = picture.shape[:2]
    rows = slice(int(h * (y - dy)), max(int(h * (y + dy)), int(h * (y - dy)) + 1))
    columns = slice(int(w * (x - dx)), max(int(w * (x + dx)), int(w * (x - dx)) + 1))
    return picture[rows, columns].reshape(-1, picture.shape[2]).astype(np.float64).mean(axis=0)


def _letter(colour: np.ndarray) -> str:
    """Which of the four colours: by the channels that are light, so brightness and saturation may shift."""
    low, high = colour.min(), colour.max()
    if high - low < 40:
        return "?"
    light = tuple(bool(c) for c in (colour - low) / (high - low) > 0.5)
    names: dict[tuple[bool, ...], str] = {
        (True, False, False): "R",
        (False, True, False): "G",
        (False, False, True): "B",
        (True, True, False): "Y",
    }
    return names.get(light, "?")
