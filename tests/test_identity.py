"""The pid file and the process title."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastserve.errors import FastserveError
from fastserve.identity import PidFile, set_title

fcntl = pytest.importorskip("fcntl")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.pid"


def test_it_holds_the_pid_until_it_is_released(path: Path) -> None:
    file = PidFile(str(path))
    file.acquire()
    assert path.read_text() == f"{os.getpid()}\n"
    file.release()
    assert not path.exists()
    file.release()


@pytest.mark.parametrize("left", ["", "1\n", "12345678901\n"])
def test_what_a_dead_process_has_left_is_replaced(path: Path, left: str) -> None:
    """Even where the number is by now another process's, as 1 always is."""
    path.write_text(left)
    file = PidFile(str(path))
    file.acquire()
    assert path.read_text() == f"{os.getpid()}\n"
    file.release()


# Holds the pid file it is given until a line comes; prints a line once it does.
HOLD = """
import sys
from fastserve.identity import PidFile
file = PidFile(sys.argv[1])
file.acquire()
print("held", flush=True)
sys.stdin.readline()
"""

# The same, then hands it to another program by exec.
EXEC = (
    HOLD
    + """
import json, os
state = json.dumps(file.handover())
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], state])
"""
)
ADOPT = """
import json, os, sys
from fastserve.identity import PidFile
state = json.loads(sys.argv[1])
file = PidFile.adopt(state)
assert not os.get_inheritable(state["fd"])
print("adopted", flush=True)
sys.stdin.readline()
file.release()
"""


@contextmanager
def holder(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def refused(path: Path) -> str:
    with pytest.raises(FastserveError) as caught:
        PidFile(str(path)).acquire()
    return caught.value.message


def test_a_live_one_is_named_and_left_alone(path: Path) -> None:
    with holder(HOLD, str(path)) as process:
        expected = f"fastserve is already running with pid {process.pid} (--pid-file {path})"
        assert refused(path) == expected
        assert path.read_text() == f"{process.pid}\n"
    assert path.exists(), "a killed process leaves its file"
    file = PidFile(str(path))
    file.acquire()
    file.release()


def test_it_is_held_across_exec(path: Path) -> None:
    with holder(EXEC, str(path), ADOPT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        assert process.stdout.readline() == "adopted\n"
        assert f"pid {process.pid} " in refused(path)
        process.stdin.write("\n")
        assert process.wait(30) == 0
        assert not path.exists()


def test_a_handover_that_came_to_nothing_can_be_undone(path: Path) -> None:
    file = PidFile(str(path))
    assert file.handover()["fd"] is None
    file.acquire()
    fd = json.loads(json.dumps(file.handover()))["fd"]
    assert os.get_inheritable(fd)
    file.keep()
    assert not os.get_inheritable(fd)
    file.release()


def test_a_successors_file_is_not_removed(path: Path) -> None:
    first, second = PidFile(str(path)), PidFile(str(path))
    first.acquire()
    path.unlink()
    second.acquire()
    first.release()
    assert path.exists()
    second.release()
    assert not path.exists()


def test_a_file_removed_before_the_lock_was_taken_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    owner = [PidFile(str(path))]
    owner[0].acquire()

    def late(fd: int, how: int) -> None:
        if owner:
            owner.pop().release()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    file = PidFile(str(path))
    file.acquire()
    assert path.read_text() == f"{os.getpid()}\n"
    file.release()


@pytest.mark.parametrize("how", ["abandon", "release"])
def test_a_forked_child_closes_its_copy_and_removes_nothing(path: Path, how: str) -> None:
    file = PidFile(str(path))
    file.acquire()
    child = os.fork()
    if child == 0:
        getattr(file, how)()
        os._exit(0 if path.exists() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert path.exists()
    assert f"pid {os.getpid()} " in refused(path)
    file.release()


@pytest.mark.parametrize("content", ["import os\n", "12 monkeys\n", "1" * 40])
def test_a_file_of_another_kind_is_not_written_over(path: Path, content: str) -> None:
    path.write_text(content)
    assert refused(path) == f"cannot write the pid file {path}: a file that is no pid file is there"
    assert path.read_text() == content


def test_what_cannot_be_written_is_explained(path: Path) -> None:
    assert "the directory does not exist" in refused(path / "none")
    assert "Is a directory" in refused(path.parent)
    path.symlink_to("elsewhere")
    assert "it is a symbolic link" in refused(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written_is_explained(path: Path) -> None:
    path.parent.chmod(0o500)
    assert "no permission" in refused(path)
    path.parent.chmod(0o700)


def test_a_full_disk_is_explained_and_leaves_no_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        assert "No space left" in refused(path)
    assert not path.exists()


def test_the_title_is_shown_where_that_is_possible() -> None:
    setproctitle = pytest.importorskip("setproctitle")
    former = setproctitle.getproctitle()
    set_title("fastserve: worker 1")
    assert setproctitle.getproctitle() == "fastserve: worker 1"
    setproctitle.setproctitle(former)


def test_without_setproctitle_the_title_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "setproctitle", None)
    set_title("fastserve")
