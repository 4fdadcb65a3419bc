"""Small made films for the demo: two stick figures who walk, stand and wave, with a manifest and labels.

They are drawn to be looked at, not to be learned from; everything about them follows from the film's number.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

HEIGHT, WIDTH, FPS, SECONDS = 144, 256, 15, 12
SHIRTS = {"red": (200, 50, 50), "blue": (50, 80, 200), "green": (40, 150, 70), "yellow": (220, 190, 50)}
ACTIONS = ("walking", "standing", "waving")  # one after another, each a third of the film


def _action(time_s: float, turn: int) -> str:
    return ACTIONS[(int(time_s / SECONDS * 3) + turn) % 3]


def _figure(
    draw: ImageDraw.ImageDraw, x: float, time_s: float, action: str, shirt: tuple[int, int, int]
) -> None:
    """A person of 80 pixels whose feet stand at height 130."""
    foot, hip, shoulder = 130, 95, 65
    stride = 10 * math.sin(2 * math.pi * time_s) if action == "walking" else 3
    for side in (-1, 1):
        draw.line([x, hip, x + side * stride, foot], fill=(40, 40, 60), width=6)
    raised = -18 * abs(math.sin(3 * math.pi * time_s)) if action == "waving" else 22
    draw.line([x, shoulder + 4, x + 14, shoulder + raised], fill=shirt, width=5)
    draw.line([x, shoulder + 4, x - 12, shoulder + 24], fill=shirt, width=5)
    draw.rectangle([x - 9, shoulder, x + 9, hip], fill=shirt)
    draw.ellipse([x - 8, shoulder - 18, x + 8, shoulder - 2], fill=(225, 180, 150))


def _image(film: int, time_s: float, colours: list[str]) -> np.ndarray:
    image = Image.new("RGB", (WIDTH, HEIGHT), (170 - 20 * film, 190, 200))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 120, WIDTH, HEIGHT], fill=(120, 110, 90))
    for turn, colour in enumerate(colours):
        action = _action(time_s, turn)
        home = 80 + 100 * turn
        x = home + (25 * math.sin(2 * math.pi * time_s / 6) if action == "walking" else 0)
        _figure(draw, x, time_s, action, SHIRTS[colour])
    return np.asarray(image)


def _write_film(path: Path, film: int, colours: list[str]) -> None:
    with av.open(path, "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "20", "g": "60"}
        for number in range(FPS * SECONDS):
            frame = av.VideoFrame.from_ndarray(_image(film, number / FPS, colours), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def make_films(folder: Path) -> Path:
    """Three good films, one cut off in the middle, and a manifest that also names one that isn't there.

    Returns the manifest's path; `labels.csv` lies beside it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = list(SHIRTS)
    manifest, labels = (
        ["movie_id,video,person_id,reference,split"],
        ["movie_id,person_id,action,start_s,end_s"],
    )
    for film in range(4):
        colours = [names[film % 4], names[(film + 1) % 4]]
        path = folder / f"film_{film}.mp4"
        _write_film(path, film, colours)
        if film == 3:
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        for turn, colour in enumerate(colours):
            split = {1: "val", 2: "test"}.get(film, "train")
            manifest.append(f"film_{film},{path.name},{colour},the person in the {colour} shirt,{split}")
            third = SECONDS / 3
            for part in range(3):
                labels.append(
                    f"film_{film},{colour},{ACTIONS[(part + turn) % 3]},{part * third},{(part + 1) * third}"
                )
    manifest.append("film_4,not_there.mp4,red,the person in the red shirt,")
    (folder / "labels.csv").write_text("\n".join(labels) + "\n")
    (folder / "manifest.csv").write_text("\n".join(manifest) + "\n")
    return folder / "manifest.csv"
