"""Names of files for ids of any text: plain where ids are plain, different for different ids, and read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhas.manifests.common.names import file_name, text_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("./-%a~ ")


@given(TEXTS)
def test_every_text_has_a_name_of_its_own_in_any_folder(text: str) -> None:
    name = file_name(text)
    assert text_of(name) == text
    assert name.isascii() and not set(name) & set('/\\:*?"<>|~ ') and not name.startswith((".", "-"))
    assert not text or (Path("folder") / name).name == name


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?", fullmatch=True))
def test_plain_ids_are_their_names(text: str) -> None:
    assert file_name(text) == text


@pytest.mark.parametrize("name", ["a b", "%2e", "%41", "é", "%", "%FF", ".a", "a~"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        text_of(name)
