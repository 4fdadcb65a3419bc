"""A detector and an encoder that follow a script, and movies for them: every frame carries its number.

Frame n is of one colour in red and green, which spell n, and a ramp from left to right in blue, so that a
crop's features tell where it was cut. A frame that could not be decoded is black: it has the number 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from rhas.extract.ground.boxes import Candidates

HEIGHT, WIDTH = 12, 20
WEAK = 0.3  # score of a weak candidate


def numbered_frames(numbers: Sequence[int]) -> np.ndarray:
    """Frames [N, H, W, 3] uint8 that carry `numbers`; 0 is black."""
    pixels = np.zeros((len(numbers), HEIGHT, WIDTH, 3), np.uint8)
    for frame, number in zip(pixels, numbers, strict=True):
        if number:
            frame[..., 0], frame[..., 1] = number % 64 * 4, number // 64 * 4
            frame[..., 2] = np.arange(WIDTH) * 10
    return pixels


def box_of(number: int, sentence: str) -> Tensor:
    """The box that the detector gives, if it gives one."""
    left = (number * 7 + len(sentence)) % 12 / 20
    return torch.tensor([left, 0.1, left + 0.32, 0.8])


def count_of(number: int) -> int:
    return 1 + number % 3


@dataclass
class ScriptedDetector:
    """Finds a sentence in the frames that `script` lists, and weakly in those of `weak`: there the box is that of the
    frame that it names. Fails above `memory` frames in a call."""

    script: Mapping[str, set[int]]
    weak: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    memory: int = 1 << 30
    calls: list[tuple[list[int], list[str]]] = field(default_factory=list)  # frame numbers, sentences

    def detect(self, frames: Tensor, sentences: Sequence[str]) -> list[list[Candidates]]:
        if len(frames) > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        numbers = (frames[:, 0, 0, 0].int() // 4 + frames[:, 0, 0, 1].int() // 4 * 64).tolist()
        assert 0 not in numbers, "asked to look at a frame that was not decoded"
        assert numbers and sentences, "asked for nothing"
        self.calls.append((numbers, list(sentences)))
        return [[self._candidates(n, s) for n in numbers] for s in sentences]

    def _candidates(self, number: int, sentence: str) -> Candidates:
        if number not in self.script[sentence]:
            if (like := self.weak.get(sentence, {}).get(number)) is not None:
                return Candidates(box_of(like, sentence)[None], torch.tensor([WEAK]))
            return Candidates(torch.zeros(0, 4), torch.zeros(0))
        count = count_of(number)
        others = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(count - 1, 1)
        scores = torch.linspace(0.75, 0.5, count)
        return Candidates(torch.cat([box_of(number, sentence)[None], others]), scores)


@dataclass
class ScriptedEncoder:
    """Features (number, rightmost blue, length of the sentence), the same for each of `tokens` tokens."""

    tokens: int = 0
    memory: int = 1 << 30
    change: Callable[[Tensor], Tensor] = lambda features: features
    fit: str = "squash"
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)
    image_size: int = 16
    seen: list[int] = field(default_factory=list)  # numbers of the images, in order
    reads: int = 0

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return (self.tokens, 3) if self.tokens else (3,)

    def see(self, images: Tensor) -> Tensor:
        if len(images) > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        red, green, blue = (images.amax(dim=(2, 3)) * 255).round().unbind(1)
        numbers = (red / 4 + green / 4 * 64).round()
        assert (numbers > 0).all(), "asked to encode a frame that was not decoded"
        self.seen += numbers.int().tolist()
        return torch.stack([numbers, blue], dim=1)

    def read(self, seen: Tensor, sentence: str) -> Tensor:
        self.reads += 1
        features = torch.cat([seen, torch.full((len(seen), 1), float(len(sentence)))], dim=1)
        if self.tokens:
            features = features[:, None].repeat(1, self.tokens, 1)
        return self.change(features)
