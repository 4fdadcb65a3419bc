"""What is the same for many calls of a detector is computed once: a frame's features, a caption's reading."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

CAPTIONS = 256  # whose readings are kept: at T tokens and D channels 4 T D bytes each


@contextmanager
def computed_once(backbone: nn.Module) -> Iterator[None]:
    """Inside, the backbone runs at the first call and every further call gets the same result.

    The released model used to keep image features for this on the module, cleared at the end of `forward`
    only: after an out-of-memory error the next call then took the old image's. Here they end with the block,
    however it ends. Both models append a level to the position list they get, hence the copies.
    """
    compute = backbone.forward
    results: list[tuple[Sequence[Any], Sequence[Any]]] = []

    def forward(*args: Any, **kwargs: Any) -> tuple[list[Any], list[Any]]:
        if not results:
            results.append(compute(*args, **kwargs))
        features, positions = results[0]
        return list(features), list(positions)

    backbone.forward = forward  # on the instance; the class keeps its own
    try:
        yield
    finally:
        del backbone.forward
        results.clear()


class Readings:
    """What a detector's text encoder makes of captions, whatever frames they are asked about; of the last ones."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, Tensor] = OrderedDict()

    @contextmanager
    def of(self, caption: str, text_encoder: nn.Module) -> Iterator[None]:
        """Inside, the text encoder is asked about this caption alone, a row for each frame, and reads one of them."""
        compute = text_encoder.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            from transformers.modeling_outputs import BaseModelOutput

            frames = len(args[0] if args else kwargs["input_ids"])
            if (states := self._states.pop(caption, None)) is None:
                named = {name: _first(value) for name, value in kwargs.items()}
                states = compute(*map(_first, args), **named)["last_hidden_state"]
            self._states[caption] = states
            if len(self._states) > CAPTIONS:
                self._states.popitem(last=False)
            return BaseModelOutput(last_hidden_state=states.expand(frames, -1, -1))

        text_encoder.forward = forward
        try:
            yield
        finally:
            del text_encoder.forward


def _first(value: Any) -> Any:
    """The first row of what has a row for each frame."""
    return value[:1] if isinstance(value, Tensor) else value
