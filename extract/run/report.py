"""Where the time of a run went: rates, seconds per stage, the limiting stage, the share of the models' own rate."""

from __future__ import annotations

from typing import Any, Protocol

from rhas.extract.run.progress import Progress


class Workers(Protocol):
    """How many workers of each kind a run had."""

    @property
    def models(self) -> int: ...

    @property
    def decoders(self) -> int: ...


def speed_report(progress: Progress, workers: Workers, alone: list[float | None]) -> dict[str, Any]:
    """The contents of report.json. `alone`: per model worker, its speed fed from memory over that in the run.

    Frames are those that the models worked on: decoded, and somebody promised in them.
    `models_alone_frames_per_s` is the rate that all model workers would reach if frames were always there:
    frames over busy seconds, times workers, corrected by what a batch takes when nothing else runs.
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
    ratios = [ratio for ratio in alone if ratio]
    report: dict[str, Any] = {
        "frames": frames,
        "looked_frames": progress.looked_frames,
        "elapsed_s": round(elapsed_s, 3),
        "frames_per_s": round(frames / elapsed_s, 3) if elapsed_s else None,
        "stage_s": stages,
        "workers": {"decoders": workers.decoders, "models": workers.models},
        "busy_share": {name: round(share, 4) for name, share in busy.items()},
        "limiting_stage": limiting if frames else None,
        "models_alone_frames_per_s": None,
        "share_of_models_alone": None,
    }
    if ratios and frames and progress.model_busy_s and elapsed_s:
        ceiling = frames / progress.model_busy_s * workers.models * sum(ratios) / len(ratios)
        report["models_alone_frames_per_s"] = round(ceiling, 3)
        report["share_of_models_alone"] = round(frames / elapsed_s / ceiling, 4)
    return report
