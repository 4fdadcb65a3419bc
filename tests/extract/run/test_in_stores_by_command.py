"""The commands on movies in stores, with Ray and all: they work from the cache, and nothing that they say or keep tells
a secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from extractions import problems
from numbered_movies import regular, write_movie
from object_store import BUCKET, KEY, SECRET, object_store
from web_server import serving

from rhas.extract.run.accounts import EXIT_DONE, EXIT_SOME_FAILED

PASSWORD, SIGNATURE = "the-password", "the-signature"


def test_commands_on_movies_in_stores(tmp_path: Path) -> None:
    movies, cache, log = tmp_path / "movies", tmp_path / "cache", tmp_path / "log"
    movies.mkdir()
    for name, frames in {"a": 60, "b": 40}.items():
        write_movie(movies / f"{name}.mp4", regular(frames))
    said: list[str] = []

    def rhas(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "rhas.pipeline.cli", "-vv", "--log-file", str(log), *arguments],
            env={**os.environ, "RHAS_CACHE": str(cache)}, capture_output=True, text=True,
        )  # fmt: skip
        said.append(done.stdout + done.stderr)
        return done

    with object_store() as store, serving(movies) as server:
        store.client.upload_file(str(movies / "a.mp4"), BUCKET, "films/a.mp4")
        server.password = PASSWORD
        host = server.url.removeprefix("http://")
        b = f"http://me:{PASSWORD}@{host}/b.mp4?sig={SIGNATURE}"
        wrong = f"http://me:not-{PASSWORD}@{host}/b.mp4?sig={SIGNATURE}"
        manifest = tmp_path / "manifest.csv"
        manifest.write_text(
            f"movie_id,video,person_id,reference\na,s3://{BUCKET}/films/a.mp4,p,the tall person\n"
            f"b,{b},p,the tall person\nc,{wrong},p,x\n"
        )
        extract = ("extract", "--movies", str(manifest), "--out", f"s3://{BUCKET}/out", "--preset", "tiny-random",
                   "--cpus", "2", "--set", "decode.window_frames=8")  # fmt: skip
        assert rhas(*extract).returncode == EXIT_SOME_FAILED, said[-1]
        assert "no models were loaded" not in said[-1]
        assert rhas(*extract).returncode == EXIT_SOME_FAILED and "no models were loaded" in said[-1]
        times = len(server.asked)
        assert rhas("verify", f"s3://{BUCKET}/out").returncode == EXIT_DONE, said[-1]
        assert (
            rhas("plan", "--movies", str(manifest)).returncode != EXIT_DONE and "refuses access" in said[-1]
        )
        seen = tmp_path / "seen"
        assert rhas("frames", b, "--at", "0.5", "--out", str(seen)).returncode == EXIT_DONE, said[-1]
        assert (seen / "000000.png").exists()
        assert (
            rhas("look", f"s3://{BUCKET}/out", "--movie", "a", "--out", str(seen / "a.png")).returncode
            == EXIT_DONE
        )
        assert (
            rhas("look", f"s3://{BUCKET}/out", "--movie", "b", "--out", str(seen / "b.png")).returncode
            == EXIT_DONE
        )
        assert [
            path for method, path, part in server.asked[times:] if method == "GET" and part != "bytes=0-0"
        ] == []
        assert (
            rhas("frames", wrong, "--at", "0.5", "--out", str(seen)).returncode == 2 and "refuses" in said[-1]
        )
        assert rhas("doctor", "--preset", "tiny-random").returncode in (0, 1) and "s3:// by s3fs" in said[-1]
        kept = "".join(store.read(name).decode("latin-1") for name in store.names("out/"))
    assert f"{host}/b.mp4" in kept
    mirrors = [path for use in ("reading", "writing") for path in (cache / use).iterdir()]
    assert len(mirrors) == 2 and not any(problems(path) for path in (cache / "reading").iterdir())
    for path in [log, *seen.rglob("*"), *(cache / "reading").rglob("*"), *(cache / "writing").rglob("*")]:
        kept += path.read_bytes().decode("latin-1") if path.is_file() else ""
    for secret in (PASSWORD, SIGNATURE, SECRET, KEY):
        assert secret not in kept and not any(secret in text for text in said), secret
