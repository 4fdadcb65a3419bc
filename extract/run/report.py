"""Where the time of a run went: rates, seconds per stage, the limiting stage, the share of the models' own rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rhas.extract.run.alone import Alone
from rhas.extract.run.progress import Progress

BUSY = 0.1  # share of their time that the models waited for a core: from there on other work set their speed
ROUNDING = 1.05  # shares above 1 by no more than this are 1


class Workers(Protocol):
    """How many workers of each kind a run had."""

    @property
    def models(self) -> int: ...

    @property
    def decoders(self) -> int: ...


def speed_report(progress: Progress, workers: Workers, alone: Sequence[Alone | None]) -> dict[str, Any]:
    """The contents of report.json. `alone`: of each model worker, its speed when fed from memory.

    Frames are those that the models worked on: decoded, and somebody promised in them.
    `models_alone_frames_per_s` is the rate that all model workers would reach if frames were always there:
    frames over busy seconds, times workers, corrected by what a batch takes when nothing else of the run works.
    Where anything else ran beside them, or before more than then, there is no such rate and no share, but a note; CPU
    seconds a frame are told in any case.
    """
    elapsed_s = progress.now.elapsed_s
    frames = progress.model_frames
    stages = {name: round(seconds, 3) for name, seconds in progress.stages.items()}
    model_s = progress.stages["ground"] + progress.stages["encode"]
    busy = {
        "decode": progress.stages["decode"] / max(1e-9, elapsed_s * workers.decoders),
        "models": model_s / max(1e-9, elapsed_s * workers.models),
        "write": progress.stages["write"] / max(1e-9, elapsed_s),
    }
    limiting = max(busy, key=lambda name: busy[name])
    if limiting == "models":
        limiting = max(("ground", "encode"), key=lambda name: progress.stages[name])
    report: dict[str, Any] = {
        "frames": frames,
        "looked_frames": progress.looked_frames,
        "elapsed_s": round(elapsed_s, 3),
        "frames_per_s": round(frames / elapsed_s, 3) if elapsed_s else None,
        "stage_s": stages,
        "workers": {"decoders": workers.decoders, "models": workers.models},
        "busy_share": {name: round(share, 4) for name, share in busy.items()},
        "limiting_stage": limiting if frames else None,
        "model_cpu_s_per_frame": round(progress.model_cpu_s / frames, 6) if frames else None,
        **_alone([one for one in alone if one is not None], progress, workers),
    }
    return report


def _alone(alone: Sequence[Alone], progress: Progress, workers: Workers) -> dict[str, Any]:
    """What the models would reach, and the share of it that the run reached."""
    found: dict[str, Any] = {
        "models_alone_cpu_s_per_frame": None,
        "models_alone_frames_per_s": None,
        "share_of_models_alone": None,
        "models_alone_note": "",
    }
    frames, elapsed_s = progress.model_frames, progress.now.elapsed_s
    if not (alone and frames and progress.model_busy_s and elapsed_s):
        return found
    found["models_alone_cpu_s_per_frame"] = round(sum(one.cpu_s for one in alone) / len(alone), 6)
    waited = max(one.waited or 0.0 for one in alone)
    if waited > BUSY:
        found["models_alone_note"] = f"the machine was busy: they waited {waited:.0%} of the time for a core"
        return found
    ratio = sum(one.in_run_s / one.wall_s for one in alone) / len(alone)
    ceiling = frames / progress.model_busy_s * workers.models * ratio
    share = frames / elapsed_s / ceiling
    if share > ROUNDING:
        found["models_alone_note"] = "they were slower alone than in the run: the machine was busy"
        return found
    found["models_alone_frames_per_s"] = round(ceiling, 3)
    found["share_of_models_alone"] = round(min(share, 1.0), 4)
    return found
