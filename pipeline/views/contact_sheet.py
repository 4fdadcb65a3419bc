"""A contact sheet: rows of pictures with a line of text above each, as one PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rhas.manifests.common.atomic import write_bytes_atomically

CELL, GAP, LINE = 128, 8, 18  # pixels
LEAST = 4  # pictures that a row has room for
PAPER, INK = (250, 249, 246), (40, 40, 40)


def write_sheet(path: Path, rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]]) -> None:
    """`rows`: a text, and RGB pictures [H, W, 3] of any sizes."""
    columns = max([LEAST, *(len(pictures) for _, pictures in rows)])
    height = LINE + CELL + GAP
    sheet = Image.new("RGB", (GAP + columns * (CELL + GAP), GAP + max(1, len(rows)) * height), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, (text, pictures) in enumerate(rows):
        top = GAP + row * height
        draw.text((GAP, top), text, INK, font=font)
        for column, pixels in enumerate(pictures):
            picture = Image.fromarray(pixels)
            scale = CELL / max(picture.size)
            size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
            left = GAP + column * (CELL + GAP) + (CELL - size[0]) // 2
            sheet.paste(picture.resize(size), (left, top + LINE + (CELL - size[1]) // 2))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_bytes_atomically(path, buffer.getvalue())
