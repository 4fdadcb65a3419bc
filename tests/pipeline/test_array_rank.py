"""Ranks as they are given, or as Slurm numbers the tasks of an array."""

from __future__ import annotations

import pytest

from rhas.manifests.common.errors import InputError
from rhas.pipeline.programs.array_rank import array_rank


def array(task: int, first: int, last: int, count: int) -> dict[str, str]:
    """As slurm sets them: https://slurm.schedmd.com/job_array.html"""
    values = {"ID": task, "MIN": first, "MAX": last, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("rank", "world_size", "environment", "found"),
    [
        (None, None, array(3, 0, 7, 8), (None, None)),  # only when asked
        ("0", 1, {}, (0, 1)),
        ("3", 4, {}, (3, 4)),
        ("slurm", None, array(3, 0, 7, 8), (3, 8)),
        ("slurm", None, array(16, 1, 16, 16), (15, 16)),
        ("slurm", None, array(9, 1, 13, 4), (2, 4)),  # --array=1-13:4 is 1, 5, 9, 13
        ("slurm", None, array(5, 5, 5, 1), (0, 1)),
        ("slurm", 16, array(7, 3, 7, 2), (7, 16)),  # --array=3,7 of 16 once more
    ],
)
def test_ranks(
    rank: str | None,
    world_size: int | None,
    environment: dict[str, str],
    found: tuple[int | None, int | None],
) -> None:
    assert array_rank(rank, world_size, environment) == found


@pytest.mark.parametrize(
    ("rank", "world_size", "environment", "told"),
    [
        (None, 4, {}, "beside --rank"),
        ("1", None, {}, "beside --world-size"),
        ("4", 4, {}, "from 0 to 3"),
        ("-1", 4, {}, "a number from 0"),
        ("0", 0, {}, "of 0 ranks"),
        ("first", 4, {}, "or slurm"),
        ("slurm", None, {}, "sbatch --array"),
        ("slurm", None, array(3, 1, 7, 3), "--world-size"),  # 1,3,7
        ("slurm", None, array(4, 1, 6, 3), "--world-size"),
        ("slurm", 4, array(4, 0, 4, 5), "from 0 to 3"),
    ],
)  # fmt: skip
def test_what_is_no_rank(
    rank: str | None, world_size: int | None, environment: dict[str, str], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        array_rank(rank, world_size, environment)
