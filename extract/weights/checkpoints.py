"""What is no checkpoint of the class that is to be loaded, or not all of one: refused, not filled up at random."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rhas.manifests.common.errors import InputError, Problem


def refuse_other_models(name: str, architectures: Sequence[str] | None, expected: str) -> None:
    """InputError unless a checkpoint's own config says that it is of class `expected`.

    transformers would load another class and fill what is missing at random, with a mere warning.
    """
    if expected not in (architectures or ()):
        found = architectures or "no such entry in config.json"
        raise InputError(Problem(name, f"a checkpoint of {expected}", column="architectures", value=found))


def refuse_missing_weights(name: str, missing_keys: Iterable[str]) -> None:
    """InputError if a checkpoint left some of the model's weights as they were initialised."""
    missing = sorted(missing_keys)
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise InputError(Problem(name, f"all of the model's weights; {len(missing)} are missing: {shown}"))
