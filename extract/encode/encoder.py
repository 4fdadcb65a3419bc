"""What the rest of extraction knows of a vision-language encoder.

An encoder works in two steps, because a movie has several persons: `see` runs the vision tower once per image;
`read` then runs the part that reads a person's sentence, once per person. So a whole frame is seen once and
read once for each person.

In: square images in [0, 1] from `rhas.extract.crops` (made to `image_size`, `fit` and `fill`) and sentences.
Out: float32 features. Left to the caller: `torch.inference_mode`, `torch.autocast`, batching and devices.

Shapes: N images, C = 3 colours, S = `image_size`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Literal, Self

import torch
from torch import Tensor

from rhas.extract.weights.fingerprint import weights_hash
from rhas.manifests.common.errors import InputError, Problem


class Encoder(ABC):
    """A frozen model with its tokenizer and its images' normalisation."""

    fit: Literal["squash", "letterbox"]  # how a whole frame becomes a square, see `rhas.extract.crops`
    fill: tuple[float, float, float]  # the mean colour (RGB in [0, 1]): padding with it is 0 to the model
    image_size: int  # S, pixels
    feature_shape: tuple[int, ...]  # of one image's features
    max_tokens: int  # of a sentence, special tokens included

    def __init__(
        self, name: str, model: Any, tokenizer: Any, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        """`name` stands in errors; `mean` and `std` are RGB, of images in [0, 1]."""
        self.name = name
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.mean = torch.tensor(mean, dtype=torch.float32)[:, None, None]
        self.std = torch.tensor(std, dtype=torch.float32)[:, None, None]
        red, green, blue = self.mean.flatten().tolist()
        self.fill = (red, green, blue)

    @cached_property
    def weights_hash(self) -> str:
        """Identifies the weights, whatever file they came from."""
        return weights_hash(self.model)

    def to(self, device: torch.device | str) -> Self:
        """Moves the model; images are expected there."""
        self.model.to(device)
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        return self

    def normalise(self, images_NCSS: Tensor) -> Tensor:
        """Images in [0, 1] as the model expects them."""
        size = (3, self.image_size, self.image_size)
        if images_NCSS.shape[1:] != size:
            raise ValueError(f"expected images [N, {size}], got {images_NCSS.shape = }")
        return (images_NCSS - self.mean) / self.std

    @abstractmethod
    def see(self, images_NCSS: Tensor) -> Tensor:
        """The vision tower, to be run once per image: [N, 3, S, S] in [0, 1] to [N, ...] for `read`."""

    @abstractmethod
    def read(self, seen: Tensor, sentence: str) -> Tensor:
        """The part that knows the person: [N, ...] from `see` to [N, *feature_shape] float32 features."""

    @abstractmethod
    def text_embedding(self, sentence: str) -> Tensor | None:
        """The sentence alone as a float32 vector; None if the encoder has no text tower of its own."""

    # --- pictures that are compared with sentences later, whatever these will be

    compares: Literal["vectors", "pairs", "nothing"] = "nothing"
    """How a picture and a sentence are compared: by vectors of each (`picture_vectors`, `sentence_vector`), by both
    together (`match`), or not at all."""

    def picture_vectors(self, seen: Tensor) -> Tensor:
        """[N, ...] from `see` to Q vectors of length 1 each, float32 [N, Q, D]: of them the one that is nearest to a
        sentence's counts."""
        raise NotImplementedError

    def sentence_vector(self, sentence: str) -> Tensor:
        """[D] of length 1, float32."""
        raise NotImplementedError

    sharpness: float = 1.0
    """By which the model multiplies the product of two such vectors to get log odds, as it was trained."""

    def match(self, seen: Tensor, sentence: str) -> Tensor:
        """[N, ...] from `see` to the log odds that picture and sentence belong together, float32 [N]."""
        raise NotImplementedError

    def clean(self, sentence: str) -> str:
        """The sentence as the model was trained to read it."""
        return " ".join(sentence.split())

    def tokenise(self, sentence: str) -> Tensor:
        """Token ids [1, T] on the model's device, special tokens included; InputError as in `check`."""
        self.check([sentence])
        return torch.tensor([self._token_ids(sentence)]).to(self.mean.device, non_blocking=True)

    def check(self, sentences: Iterable[str]) -> None:
        """Raises one InputError that lists every sentence which is empty or too long for the model.

        Models would cut a long sentence without a word, and with it perhaps the very person meant.
        """
        problems = []
        for sentence in sentences:
            if not self.clean(sentence):
                problems.append(Problem("sentence", "words", value=sentence))
                continue
            count = len(self._token_ids(sentence))
            if count > self.max_tokens:
                expected = f"at most {self.max_tokens} tokens for {self.name}; these are {count}"
                problems.append(Problem("sentence", expected, value=sentence))
        if problems:
            raise InputError(problems)

    def _token_ids(self, sentence: str) -> list[int]:
        # `verbose` would warn of long sentences, which `check` refuses anyway.
        return self.tokenizer(self.clean(sentence), truncation=False, verbose=False)["input_ids"]
