"""The shortest commands, as the README has them: where they write, and that they say so first."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rhas.manifests.common.errors import InputError
from rhas.pipeline.cli import app


class Reached(Exception):
    """The command has got as far as its work."""


def rhas(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("manifest", "night"):
        Path(f"{name}.csv").write_text("movie_id,video,person_id,reference\na,a.mp4,p,the man\n")
    return tmp_path


@pytest.mark.parametrize(("manifest", "out"), [("manifest", "features"), ("night", "features-night")])
def test_an_extraction_names_its_folder_after_the_manifest_and_says_so_first(
    here: Path, monkeypatch: pytest.MonkeyPatch, manifest: str, out: str
) -> None:
    def extract(_: object, folder: Path, *__: object) -> None:
        assert folder == Path(out)
        raise Reached

    monkeypatch.setattr("rhas.extract.run.run.extract", extract)
    done = rhas("extract", "--movies", f"{manifest}.csv", "--gpus", "8")
    assert isinstance(done.exception, Reached)
    assert done.stdout.splitlines()[0].startswith(f"{out}: a new features folder")


def test_a_folder_with_something_else_in_it_is_not_taken_for_the_features(here: Path) -> None:
    Path("features").mkdir()
    Path("features", "mine.txt").touch()
    done = rhas("extract", "--movies", "manifest.csv")
    assert isinstance(done.exception, InputError) and "--out" in str(done.exception)


def test_a_folder_that_only_a_rank_without_movies_was_in_is_gone_on_with(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "features" / "ranks" / "1-of-2").mkdir(parents=True)
    monkeypatch.setattr("rhas.extract.run.run.extract", lambda *_: pytest.fail("begun"))
    with pytest.raises(pytest.fail.Exception, match="begun"):
        CliRunner().invoke(app, ["extract", "--movies", "manifest.csv"], catch_exceptions=False)


@pytest.mark.parametrize("table", ["manifest.csv", "labels.csv", "actions.csv"])
def test_tables_of_the_users_own_are_not_replaced_by_a_folders(here: Path, table: str) -> None:
    (here / "own").mkdir()
    (here / "own" / table).write_text("mine\n")
    done = rhas("extract", "--movies", "night.csv", "--out", "own", "--preset", "tiny-random")
    assert isinstance(done.exception, InputError) and f"own has {table}" in str(done.exception)
    assert [path.name for path in (here / "own").iterdir()] == [table]
    assert (here / "own" / table).read_text() == "mine\n"


def test_each_training_has_a_run_of_its_own_and_names_the_one_that_did_not_end(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Path] = []

    def train_run(_: object, out: Path, *__: object, **___: object) -> None:
        runs.append(out)
        if len(runs) < 3:
            (out / "config.yaml").touch()

    monkeypatch.setattr("rhas.pipeline.programs.training.train_run", train_run)
    nothing = rhas("train", "--shards", "features/")
    assert nothing.stdout == "" and "a features folder written by `rhas extract`" in str(nothing.exception)
    Path("features").mkdir()
    Path("features", "config.json").touch()
    said = [rhas("train", "--shards", "features/", "--model", "actdiff").stdout for _ in range(3)]
    assert all(run.parent == Path("runs") and run.name.startswith("actdiff-2") for run in runs)
    assert len(set(runs)) == 3
    assert said[0] == f"{runs[0]}: a new run; the same command with --out {runs[0]} goes on with it\n"
    assert (
        said[2].splitlines()[1] == f"{runs[1]} did not come to its end; --out {runs[1]} goes on with that one"
    )
    assert not runs[2].exists(), "nothing was written into it"
    assert rhas("train", "--shards", "features/", "--out", str(runs[0])).stdout == (
        f"{runs[0]}: goes on from its last checkpoint\n"
    )


def test_a_report_names_the_features_of_its_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rhas.pipeline.report.making.write_report", lambda *_: Path("page/index.html"))
    Path("r").mkdir()
    Path("r", "data.json").write_text('{"features": "/data/my features"}')
    done = rhas("report", "--run", "r", "--out", "page")
    assert done.stderr == "next: rhas predict --run r --shards '/data/my features'\n"


def test_rhas_alone_tells_what_there_is() -> None:
    alone = rhas()
    assert alone.exit_code == 0
    for group in ("Extract", "Train and use", "Look", "Both stages"):
        assert f"─ {group}" in alone.stdout
    assert rhas("--version").stdout.startswith("rhas ")
    assert rhas("world").exit_code == rhas("import").exit_code == 0


@pytest.mark.parametrize(
    ("given", "following"),
    [
        (["config", "clip"], "extract --movies manifest.csv --preset clip"),
        (
            ["config", "paper", "--set", "epochs=3"],
            "train --shards features --config paper --set epochs=3",
        ),
        (["config", "--list"], "config blip2"),
        (["status", "--address", "a:1"], "status job-1 --address a:1 --logs"),
        (["cancel", "job-1", "--address", "a:1"], "status job-1 --address a:1 --logs"),
        (["report", "--run", "r", "--out", "page"], "predict --run r --shards features"),
        (["doctor", "--preset", "mini"], "plan --movies manifest.csv --preset mini"),
        (["demo"], "plan --movies manifest.csv"),
        (["export", "--run", "r", "--out", "."], "predict --run . --shards features"),
        (
            ["annotate", "to", "elan", "m.csv", "--out", "a", "--time-origin", "container"],
            "annotate from elan a m.csv --out corrected.csv --keep --time-origin container",
        ),
        (
            ["annotate", "from", "elan", "a", "m.csv", "--out", "l.csv"],
            "extract --movies m.csv --labels l.csv",
        ),
    ],
)
def test_commands_name_the_next_one(
    monkeypatch: pytest.MonkeyPatch, given: list[str], following: str
) -> None:
    jobs = "rhas.pipeline.stages.jobs"
    monkeypatch.setattr(f"{jobs}.describe_jobs", lambda address, job: ["job-1  RUNNING  3 s  night.yaml"])
    monkeypatch.setattr(f"{jobs}.cancel_job", lambda address, job: "STOPPED")
    monkeypatch.setattr("rhas.pipeline.report.making.write_report", lambda *_: Path("page/index.html"))
    monkeypatch.setattr("rhas.pipeline.programs.doctor.print_examination", lambda *_: 0)
    monkeypatch.setattr("rhas.pipeline.programs.demo.run_demo", lambda *_: 0)
    monkeypatch.setattr("rhas.train.evaluation.export.export_run", lambda *_: None)
    for way in ("to", "from"):
        monkeypatch.setattr(f"rhas.pipeline.programs.annotating.annotate_{way}", lambda *_: [])
    done = rhas(*given)
    assert (done.exit_code, done.stderr) == (0, f"next: rhas {following}\n")


@pytest.mark.parametrize(
    ("given", "out"),
    [
        (["films"], "films"),
        (["movies"], "movies"),
        (["movies", "movies"], "movies"),
        (["./train-models"], "train-models"),
    ],
)
def test_a_world_goes_into_any_folder(monkeypatch: pytest.MonkeyPatch, given: list[str], out: str) -> None:
    def make_world(folder: Path, *_: object) -> Path:
        assert folder == Path(out)
        return folder / "manifest.csv"

    monkeypatch.setattr("rhas.pipeline.world.making.make_world", make_world)
    done = rhas("world", *given)
    assert done.exit_code == 0
    assert done.stderr == f"next: rhas extract --movies {out}/manifest.csv --preset mini\n"
