"""Which rank of how many a command is, from `--rank` and `--world-size`, or from Slurm's array if asked for.

In: both options, and the environment. Out: number and count, or nothing where no rank was given. Slurm numbers an
array's tasks as it was told: only ranges with equal steps say which task is which.
"""

from __future__ import annotations

from collections.abc import Mapping

from rhas.manifests.common.errors import InputError, Problem

SLURM = "slurm"
_ARRAY = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_COUNT")


def array_rank(
    rank: str | None, world_size: int | None, environment: Mapping[str, str]
) -> tuple[int | None, int | None]:
    """Rank, from 0, and how many there are. Raises InputError for what doesn't go together."""
    if rank is None:
        if world_size is not None:
            raise InputError(Problem("--world-size", "beside --rank", value=world_size))
        return None, None
    if rank == SLURM:
        number, of = _of_slurm(world_size, environment)
    elif not rank.isdecimal():
        raise InputError(Problem("--rank", f"a number from 0, or {SLURM}", value=rank))
    elif world_size is None:
        raise InputError(Problem("--rank", "beside --world-size, how many ranks there are", value=rank))
    else:
        number, of = int(rank), world_size
    if of < 1 or not 0 <= number < of:
        raise InputError(Problem("--rank", f"a number from 0 to {of - 1}, of {of} ranks", value=number))
    return number, of


def _of_slurm(world_size: int | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """With --world-size the task's id is the rank, so that some of an array's tasks can be submitted again alone."""
    wanted = _ARRAY[:1] if world_size is not None else _ARRAY
    try:
        values = [int(environment[name]) for name in wanted]
    except (KeyError, ValueError):
        expected = f"a task of an array of Slurm's (sbatch --array=0-15), which has {', '.join(wanted)}"
        raise InputError(Problem("--rank", expected, value=SLURM)) from None
    if world_size is not None:
        return values[0], world_size
    task, first, last, count = values
    step, uneven = divmod(last - first, count - 1) if count > 1 else (1, 0)
    if uneven or step < 1 or (task - first) % step:
        expected = (
            f"an array of equal steps (this one has {count} tasks from {first} to {last}); for some tasks of a larger "
            "one: --world-size, and ids from 0"
        )
        raise InputError(Problem("--rank", expected, value=SLURM))
    return (task - first) // step, count
