"""Files of variables: what is read, and what becomes of the process's environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastserve.envfiles import LOADED, load, read, unload
from fastserve.errors import ConfigError


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FS_OLD", "kept")
    yield
    unload()


def write(directory: Path, text: str, name: str = "env") -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


def test_variables_are_added_and_those_set_keep_their_value(tmp_path: Path) -> None:
    load([write(tmp_path, "FS_OLD=changed\nFS_NEW=added\nFS_BARE\n")])
    assert (os.environ["FS_OLD"], os.environ["FS_NEW"]) == ("kept", "added")
    assert "FS_BARE" not in os.environ


def test_options_are_not_put_into_the_environment(tmp_path: Path) -> None:
    load([write(tmp_path, "FASTSERVE_PORT=1\nFASTSERVE_REGION=x\n")])
    assert not {"FASTSERVE_PORT", "FASTSERVE_REGION", LOADED} & set(os.environ)


def test_of_several_files_the_last_one_wins(tmp_path: Path) -> None:
    one = write(tmp_path, "FS_A=1\nFS_B=1", "one")
    two = write(tmp_path, "FS_B=2\nFS_C=${FS_A}, ${FS_B}, ${FS_OLD}", "two")
    assert read([one, two]) == {
        "FS_A": ("1", one),
        "FS_B": ("2", two),
        "FS_C": ("1, 2, kept", two),
    }


def test_a_file_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path, "FS_A=1\nFS_B=1")
    load([path])
    write(tmp_path, "FS_B=2\nFS_C=2\nFS_OLD=2")
    load([path])
    assert {name: os.environ.get(name) for name in ("FS_A", "FS_B", "FS_C", "FS_OLD")} == {
        "FS_A": None, "FS_B": "2", "FS_C": "2", "FS_OLD": "kept",
    }  # fmt: skip
    unload()
    assert not {"FS_A", "FS_B", "FS_C", LOADED} & set(os.environ)


def test_what_another_process_has_loaded_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is neither this one nor its parent: the variable came from further up."""
    monkeypatch.setenv(LOADED, "1 FS_OLD")
    unload()
    assert os.environ["FS_OLD"] == "kept"
    assert LOADED not in os.environ


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("FS_A=1\n'FS_B", ", line 2: this is not NAME=VALUE"),
        ("FASTSERVE_PORT=1\nFS_A=1\nFS_A=2\nFASTSERVE_PORT=2", ", line 4: FASTSERVE_PORT is in "
         "line 1 too"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_is_told(tmp_path: Path, text: str, why: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read([path])
    assert str(caught.value) == path + why


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--env-file: there is no file 'nowhere'$"):
        read(["nowhere"])
    with pytest.raises(ConfigError, match=rf"^--env-file: cannot read {tmp_path}: Is a directory$"):
        read([str(tmp_path)])
    (tmp_path / "env").write_bytes(b"A=\xff")
    with pytest.raises(ConfigError, match=r"env is not UTF-8 text$"):
        read([str(tmp_path / "env")])
