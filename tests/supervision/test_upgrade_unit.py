"""Trying a new program, and refusing what cannot be understood."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest
from support.process import eventually, finished, running

from fastserve.errors import ConfigError, FastserveError
from fastserve.supervision import upgrade
from fastserve.supervision.upgrade import Trial, command_line, handed_over, is_trial


def python(code: str, directory: str = ".") -> tuple[str, list[str], str]:
    return sys.executable, [sys.executable, "-c", code], directory


def outcome(trial: Trial) -> tuple[bool, str]:
    found: list[tuple[bool, str]] = []

    def is_known() -> bool:
        result = trial.result()
        if result is not None:
            found.append(result)
        return bool(found)

    eventually(is_known)
    return found[0]


# -- what to start again ---------------------------------------------------------------


def test_a_directory_that_is_a_link_is_kept_as_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "release").mkdir()
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "release")
    monkeypatch.chdir(link)
    monkeypatch.setenv("PWD", str(link))
    assert command_line()[2] == str(link)


@pytest.mark.parametrize("told", ["/", "/no/such/directory", ""])
def test_a_directory_the_shell_has_not_told_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", told)
    assert command_line()[2] == os.path.realpath(tmp_path)


def test_the_interpreters_own_options_are_kept(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from fastserve.supervision.upgrade import command_line\n"
        "print(command_line()[1] == [sys.executable, '-W', 'ignore', '-c', sys.orig_argv[4], 'x'],"
        " file=sys.stderr)"
    )
    assert finished(["-W", "ignore", "-c", code, "x"], tmp_path, module="") == (0, "True\n")


# -- the trial -------------------------------------------------------------------------


def test_a_program_is_not_on_trial_unless_it_is_told() -> None:
    assert not is_trial({"PATH": "/bin"})


def test_a_trial_is_told_once() -> None:
    environment = {"FASTSERVE_TRIAL": str(upgrade.FORMAT), "PATH": "/bin"}
    assert is_trial(environment)
    assert environment == {"PATH": "/bin"}


def test_a_program_declines_what_it_could_not_take_over() -> None:
    with pytest.raises(ConfigError, match="cannot take over from the one that runs: restart"):
        is_trial({"FASTSERVE_TRIAL": str(upgrade.FORMAT + 1)})


@pytest.mark.parametrize(("status", "well"), [(0, True), (3, False)])
def test_a_trial_tells_how_it_went_and_what_was_said(status: int, well: bool) -> None:
    code = (
        "import os, sys\n"
        "print('tried with', os.environ['FASTSERVE_TRIAL'], flush=True)\n"
        "print('to stderr', file=sys.stderr)\n"
        f"sys.exit({status})"
    )
    trial = Trial(python(code))
    assert outcome(trial) == (well, f"tried with {upgrade.FORMAT}\nto stderr")
    trial.end()


def test_a_trial_runs_in_the_directory_given(tmp_path: Path) -> None:
    trial = Trial(python("import os; print(os.getcwd())", str(tmp_path)))
    assert outcome(trial) == (True, os.path.realpath(tmp_path))


def test_a_trial_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "_PATIENCE", 0.0)
    trial = Trial(python("import threading; threading.Event().wait()"))
    pid = trial._process.pid
    assert trial.result() == (False, "it was not done after 0 s")
    assert not running(pid)


def test_a_trial_can_be_ended_before_its_result() -> None:
    trial = Trial(python("import threading; threading.Event().wait()"))
    pid = trial._process.pid
    assert trial.result() is None
    trial.end()
    assert not running(pid)


@pytest.mark.parametrize("command", [("/no/such", ["x"], "."), python("", "/no/such")])
def test_what_cannot_be_started_cannot_be_tried(command: tuple[str, list[str], str]) -> None:
    with pytest.raises(FastserveError, match="the new program cannot be started: "):
        Trial(command)


# -- what is handed over ---------------------------------------------------------------


def written(text: str) -> str:
    """The number of a descriptor from which `text` can be read."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(text.encode())
        file.seek(0)
        return str(os.dup(file.fileno()))


def test_nothing_is_handed_over_by_whoever_starts_it() -> None:
    assert handed_over({"PATH": "/bin"}) is None


def test_what_is_handed_over_is_taken_once() -> None:
    state = {"format": upgrade.FORMAT, "children": [], "board": 7}
    told = written(json.dumps(state))
    environment = {"FASTSERVE_HANDOVER": told}
    assert handed_over(environment) == state
    assert environment == {}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(int(told))


@pytest.mark.parametrize("state", [{"format": upgrade.FORMAT + 1}, {}, []])
def test_what_another_version_hands_over_is_refused(state: object) -> None:
    with pytest.raises(ConfigError, match="cannot take over from the one before: restart"):
        handed_over({"FASTSERVE_HANDOVER": written(json.dumps(state))})
