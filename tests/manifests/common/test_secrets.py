"""What is told of addresses holds neither passwords nor signatures; hosts and paths stay."""

from __future__ import annotations

import pickle

import pytest

from rhas.manifests.common.errors import Problem, shorten
from rhas.manifests.common.locations import Remote
from rhas.manifests.common.secrets import redacted, scrubbed

SIGNED = "https://bucket.s3.amazonaws.com/a/b.mp4?X-Amz-Credential=AKIA%2F&X-Amz-Signature=0123abcd"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SIGNED, "https://bucket.s3.amazonaws.com/a/b.mp4?…"),
        ("https://me:pa:ss@host:8080/x.mp4", "https://…@host:8080/x.mp4"),
        ("https://me:p@ss@host/x.mp4", "https://…@host/x.mp4"),
        ("https:/me:pw@host/x.mp4", "https:/…@host/x.mp4"),  # as a path has it
        ("https://host/x.mp4#token=1", "https://host/x.mp4"),
        ("s3://bucket/what is it?.mp4", "s3://bucket/what is it?.mp4"),
        ("s3://KEY:SECRET@bucket/a", "s3://…@bucket/a"),
        (f"403, message='Forbidden', url='{SIGNED}'", "403, message='Forbidden', url='https://bucket.s3.amazonaws.com/a/b.mp4?…"),
        ("--set x=1 movies/a.mp4 12:30", "--set x=1 movies/a.mp4 12:30"),
    ],
)  # fmt: skip
def test_redacted(text: str, told: str) -> None:
    assert redacted(text) == told
    assert redacted(told) == told


def test_a_problem_tells_nothing_whatever_stands_in_it() -> None:
    value = "https://me:my pass'word\"@host/x.mp4?key=abc def"
    problem = str(Problem(value, f"not {SIGNED}", value=value))
    assert not any(secret in problem for secret in ("word", "abc", "def", "0123abcd", "me:"))
    assert "host/x.mp4" in problem


def test_a_value_is_cut_only_without_its_password() -> None:
    assert "s" * 20 not in shorten(f"https://me:{'s' * 100}@host/x.mp4")


def test_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    assert scrubbed("signed with wJalrXUtnFEMI and hf_abcdefgh") == "signed with … and …"


def test_an_address_shows_itself_without() -> None:
    remote = Remote(SIGNED)
    assert str(remote) == remote.as_posix() == "https://bucket.s3.amazonaws.com/a/b.mp4?…"
    assert "0123abcd" not in repr(remote) and "0123abcd" not in f"{(remote, [remote])}"
    assert pickle.loads(pickle.dumps(remote)).url == SIGNED
