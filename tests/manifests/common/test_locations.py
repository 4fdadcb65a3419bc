"""What a text means as a place, and what is no place."""

from __future__ import annotations

from pathlib import Path

import pytest

from rhas.manifests.common.errors import InputError
from rhas.manifests.common.locations import Remote, is_told_whole, path_faults, place
from rhas.manifests.common.stores import check_scheme, facts_of
from rhas.manifests.tables.manifest import load_manifest, write_manifest

FOLDER = Path("/data")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a/b.mp4", Path("/data/a/b.mp4")),
        ("/x/b.mp4", Path("/x/b.mp4")),
        ("~/b.mp4", Path.home() / "b.mp4"),
        ("~nobody-of-that-name/b.mp4", Path("/data/~nobody-of-that-name/b.mp4")),
        ("file:///x/a%20b.mp4", Path("/x/a b.mp4")),
        ("file://localhost/x/b.mp4", Path("/x/b.mp4")),
        ("S3://bucket/Key/b.mp4", Remote("s3://bucket/Key/b.mp4")),
        ("https://host/b.mp4?x=1", Remote("https://host/b.mp4?x=1")),
        ("12:30.mp4", Path("/data/12:30.mp4")),
    ],
)
def test_place(text: str, meant: object) -> None:
    assert place(text, FOLDER) == meant


@pytest.mark.parametrize(
    "text", ["ftp://host/a.mp4", "file://other/a.mp4", "s3://", "s3://KEY:SECRET@bucket/a.mp4"]
)
def test_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="://"):
        place(text, FOLDER)


def test_where_only_paths_are_read_addresses_are_told() -> None:
    assert path_faults("s3://bucket/a.mp4") and not path_faults("a/12:30.mp4")


def test_names() -> None:
    assert place("https://host/a/my%20movie.mp4?sig=/x.txt").name == "my movie.mp4"
    assert place("s3://bucket/a/b?.mkv").name == "b?.mkv" and place("s3://bucket/a/b?.mkv").suffix == ".mkv"


def test_a_manifest_tells_of_bad_addresses_without_their_secrets(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "movie_id,video,person_id,reference\na,ftp://me:hidden@host/a.mp4,p,x\nb,https://host/b?key=hidden,p,x\n"
        "b,https://host/c?key=hidden,q,x\n"
    )
    with pytest.raises(InputError) as caught:
        load_manifest(path)
    told = str(caught.value)
    assert "row 2, column video" in told and "s3://" in told and "row 4" in told and "hidden" not in told


def test_a_manifest_is_kept_without_credentials(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "movie_id,video,person_id,reference\na,https://me:hidden@host/a.mp4,p,x\nb,https://host/get?id=1&key=hidden,p,x\n"
        "c,s3://bucket/c.mp4,p,x\nd,~/d.mp4,p,x\n"
    )
    manifest = load_manifest(path)
    assert manifest.movies[1].video == Remote("https://host/get?id=1&key=hidden")
    write_manifest(manifest, tmp_path / "kept.csv")
    assert "hidden" not in (tmp_path / "kept.csv").read_text()
    kept = [movie.video for movie in load_manifest(tmp_path / "kept.csv").movies]
    assert kept[2:] == [Remote("s3://bucket/c.mp4"), Path.home() / "d.mp4"]
    assert [is_told_whole(video) for video in kept] == [True, False, True, True]
    with pytest.raises(OSError, match="without its credentials"):
        facts_of(kept[0])


def test_a_package_that_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(InputError, match=r"s3fs.*pip install 'rhas\[s3\]'"):
        check_scheme(Remote("s3://bucket/a"))
    with pytest.raises(InputError, match=r"gcsfs.*pip install 'rhas\[gs\]'"):
        check_scheme(Remote("gs://bucket/a"))
