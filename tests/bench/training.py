"""The claims about training: dilated attention by shifted slices, and steps whose cost is linear in the frames.

In: nothing. Out: rows for the table of `tests.bench`. Sizes are the paper's (3000 frames, 768 features, 137
classes, the models' default widths), one video in a batch, float32; weights and data are random. Seconds are CPU
seconds of one thread.

    python -m tests.bench.training FRAMES     # one HopaDIFF's step, as JSON: what `hopadiff_steps` starts
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

FEATURES, CLASSES, FRAMES = 768, 137, 3000
LENGTHS = (1500, 3000, 6000, 12000)
STEPS = 25  # of DDIM


def _batch(frames: int) -> Any:
    """One video of noise with actions of 100 frames."""
    import torch

    from rhas.train.data import Batch

    generator = torch.Generator().manual_seed(0)
    real_BT = torch.ones(1, frames, dtype=torch.bool)
    holistic, partial = (torch.randn(1, FEATURES, frames, generator=generator) for _ in range(2))
    labels_BCN = torch.rand(1, CLASSES, math.ceil(frames / 100), generator=generator) < 0.02
    boundary_T = torch.arange(frames) % 100 == 0
    return Batch(
        names=("noise",), holistic_BFT=holistic, partial_BFT=partial,
        has_holistic_BT=real_BT, has_partial_BT=real_BT, valid_BT=real_BT, mask_BT=real_BT,
        labels_BCT=labels_BCN.float().repeat_interleave(100, dim=2)[:, :, :frames],
        lengths_B=torch.tensor([frames]), boundary_B1T=boundary_T[None, None].float(),
        soft_labels_BCT=None, padded=False,
    )  # fmt: skip


def _fastest(call: Callable[[], object], times: int) -> float:
    """CPU seconds of the fastest of a few calls: what else runs on the machine does not count as ours."""
    seconds = []
    for _ in range(times):
        clock = time.process_time()
        call()
        seconds.append(time.process_time() - clock)
    return min(seconds)


def _trainer(name: str) -> tuple[Any, Callable[[Any], object]]:
    """A model with fresh weights, and what trains it for one step on a batch, Adam's included."""
    import torch

    from rhas.train.config import TrainConfig
    from rhas.train.device import keep_freed_memory
    from rhas.train.fitting.loop import train_step
    from rhas.train.models.registry import build_model

    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    torch.manual_seed(0)
    config = TrainConfig(model=name, precision="float32")
    model = build_model(name, FEATURES, CLASSES, {"diffusion": {"sampling_steps": STEPS}})
    optimiser = torch.optim.Adam(model.parameters(), lr=config.optimiser.lr)
    return model, lambda batch: train_step(model, optimiser, [batch], config, 0)


def _gather_forward(
    self: Any, x_BDT: Any, mask_BT: Any, condition_BNT: Any = None, bias_K: Any = None
) -> Any:
    """`DilatedAttention.forward` as one would write it down: the k neighbours of each frame are copied."""
    import torch
    from torch.nn import functional as F

    from rhas.train.models.layers.dilated_attention import ABSENT

    assert bias_K is None, "no model that is timed here has one"
    both = x_BDT if condition_BNT is None else torch.cat([x_BDT, condition_BNT], dim=1)
    reach = self.neighbours // 2 * self.dilation
    steps_K = torch.arange(self.neighbours) * self.dilation
    around_TK = torch.arange(x_BDT.shape[2])[:, None] + steps_K  # in what is padded by `reach`
    real_B1T = mask_BT[:, None].to(x_BDT.dtype)
    present_B1TK = F.pad(real_B1T, (reach, reach))[:, :, around_TK]
    k_BDTK = F.pad(self.key(both) * real_B1T, (reach, reach))[:, :, around_TK]
    v_BDTK = F.pad(self.value(x_BDT) * real_B1T, (reach, reach))[:, :, around_TK]
    dots_B1TK = (self.query(both)[..., None] * k_BDTK).sum(1, keepdim=True)
    logits_B1TK = dots_B1TK / math.sqrt(x_BDT.shape[1]) + torch.log(present_B1TK + ABSENT)
    return (torch.softmax(logits_B1TK, dim=-1) * present_B1TK * v_BDTK).sum(-1)


@contextlib.contextmanager
def _gathered() -> Iterator[None]:
    """Within it, models are as one would write them down.

    Dilated attention gathers its neighbours, each decoder layer projects the condition at each time step, and
    convolutions are torch's.
    """
    from torch import nn

    from rhas.train.models.actdiff.networks import Decoder
    from rhas.train.models.layers.dilated_attention import DilatedAttention
    from rhas.train.models.layers.dilated_conv import DilatedConv
    from rhas.train.models.layers.pointwise import Pointwise

    plain: list[tuple[type, str, Any]] = [
        (DilatedAttention, "forward", _gather_forward),
        (Decoder, "project", lambda self, condition_BNT: [condition_BNT] * len(self.layers)),
        (DilatedConv, "forward", nn.Conv1d.forward),
        (Pointwise, "forward", nn.Conv1d.forward),
    ]
    own = [getattr(kind, name) for kind, name, _ in plain]
    for kind, name, form in plain:
        setattr(kind, name, form)
    try:
        yield
    finally:
        for (kind, name, _), form in zip(plain, own, strict=True):
            setattr(kind, name, form)


def dilated_attention() -> list[dict]:
    """Seconds of an ActDiff that gathers its neighbours over those of ours: a training step, and DDIM."""
    import torch

    model, step = _trainer("actdiff")
    batch, short = _batch(FRAMES), _batch(200)

    def predict(of: Any = batch) -> torch.Tensor:
        return model.eval().predict(of, of.generators("cpu", 1))

    with _gathered():
        old_scores_BCT = predict(short)
    difference = float((predict(short) - old_scores_BCT).abs().max())
    seconds: dict[str, list[float]] = {"train": [], "ddim": []}
    for _ in range(2):  # in turns, so that what else runs on the machine is fair to both
        for form in (_gathered, contextlib.nullcontext):
            with form():
                step(short)  # warm-up
                seconds["train"].append(_fastest(lambda: step(batch), 1))
                seconds["ddim"].append(_fastest(predict, 1))
    size = f"{FRAMES} frames, {FEATURES} features, {CLASSES} classes"
    what = {"train": "training step", "ddim": f"{STEPS}-step DDIM with its encoder"}
    aims = {"train": ">= 1.8", "ddim": ">= 3"}
    fastest = {name: (min(found[::2]), min(found[1::2])) for name, found in seconds.items()}
    return [{
        "what": f"ActDiff's {what[name]}, neighbours gathered / shifted slices, {size}",
        "ratio": old / new, "aim": aims[name], "gathered_s": old, "ours_s": new,
        "ppm_apart": difference * 1e6,
    } for name, (old, new) in fastest.items()]  # fmt: skip


def hopadiff_steps() -> list[dict]:
    """Growth of a HopaDIFF's training step from one length to its double, each length in a process of its own."""
    found = []
    for frames in LENGTHS:
        command = [sys.executable, "-m", "tests.bench.training", str(frames)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    rest = [one["step_s"] - one["bca_s"] for one in found]
    peaks = [one["peak_bytes"] / 2**20 for one in found]
    more = [after - before for before, after in pairwise(peaks)]
    named = [f"{frames}_frames" for frames in LENGTHS]
    lengths = ", ".join(map(str, LENGTHS))
    return [
        {
            "what": f"HopaDIFF's training step but for BCA, seconds per doubling of {lengths} frames (the worst)",
            "ratio": _worst_growth(rest), "aim": "<= 2.1",
            **{f"s_{name}": seconds for name, seconds in zip(named, rest, strict=True)},
        },
        {
            "what": "BCA alone, forward and backward, the same: a T x T attention, which is never held",
            "ratio": _worst_growth([one["bca_s"] for one in found]), "aim": "none, 4 is its nature",
            **{f"s_{name}": one["bca_s"] for name, one in zip(named, found, strict=True)},
        },
        {
            "what": "peak memory of the step: what a doubling adds / what the one before added; 2 is linear",
            "ratio": _worst_growth(more), "aim": "<= 2.1",
            **{f"MiB_{name}": peak for name, peak in zip(named, peaks, strict=True)},
        },
    ]  # fmt: skip


def _worst_growth(values: list[float]) -> float:
    return max(after / before for before, after in pairwise(values))


def _measure_step(frames: int) -> dict[str, float]:
    """Seconds and peak memory of one HopaDIFF's training step; BCA's share, timed apart. In a fresh process."""
    import torch

    from rhas.train.device import peak_bytes

    model, step = _trainer("hopadiff")
    step(_batch(200))  # warm-up: Adam's state is there
    batch = _batch(frames)
    times = 2  # the first step also pays for memory that later ones have
    seconds = _fastest(lambda: step(batch), times)
    peak = peak_bytes()
    gates = model.hp_xlstm.input_gates
    width = gates.embed_holistic.in_features
    streams = [torch.randn(1, width, frames, requires_grad=True) for _ in range(2)]

    def attend() -> None:
        sum(part.square().sum() for part in gates(*streams, batch.mask_BT)).backward()

    return {"step_s": seconds, "bca_s": _fastest(attend, times), "peak_bytes": peak}


TRAINING_BENCHES: dict[str, Callable[[], list[dict]]] = {
    "dilated_attention": dilated_attention,
    "hopadiff_steps": hopadiff_steps,
}


if __name__ == "__main__":
    print(json.dumps(_measure_step(int(sys.argv[1]))))
