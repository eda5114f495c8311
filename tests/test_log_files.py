"""Log files: of messages and of access lines, rotated, and on a full disk."""

from __future__ import annotations

import io
import logging
import logging.handlers
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.logs import bare

from fastserve.config import Logging
from fastserve.errors import ConfigError
from fastserve.logging import access_sink, configure, reopen
from fastserve.logsinks import FileSink

# -- messages in a file ----------------------------------------------------------------


def test_messages_go_to_a_file_without_colours_and_after_what_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    with bare():
        configure(Logging(log_file=str(log)))
        logging.getLogger("fastserve.error").info("hello \udcff")
        assert log.read_text().startswith("before\n")
        assert log.read_text().endswith(" INFO     hello \\udcff\n")
        assert "\033" not in log.read_text()
    assert capsys.readouterr() == ("", "")


def test_a_file_is_coloured_where_colours_are_asked_for(tmp_path: Path) -> None:
    with bare():
        configure(Logging(log_file=str(tmp_path / "log"), use_colors=True))
        logging.getLogger("fastserve.error").error("red")
        assert "\033[31mERROR   \033[0m red" in (tmp_path / "log").read_text()


def test_messages_go_to_the_file_that_is_asked_for_in_a_program_with_logging_too(
    tmp_path: Path,
) -> None:
    with bare():
        stream = io.StringIO()
        logging.getLogger().addHandler(logging.StreamHandler(stream))
        configure(Logging(log_file=str(tmp_path / "log")))
        logging.getLogger("fastserve.error").info("hello")
        assert "hello" in (tmp_path / "log").read_text()
        assert stream.getvalue() == ""


def test_a_second_configuration_closes_the_file_of_the_first(tmp_path: Path) -> None:
    with bare() as ours:
        configure(Logging(log_file=str(tmp_path / "one")))
        (first,) = ours.handlers
        configure(Logging(log_file=str(tmp_path / "two")))
        logging.getLogger("fastserve.error").info("hello")
        assert first.sink.fileno() == -1  # type: ignore[attr-defined]
        assert (tmp_path / "one").read_text() == ""
        assert "hello" in (tmp_path / "two").read_text()


@pytest.mark.parametrize("option", ["log_file", "access_log_file"])
def test_a_file_that_cannot_be_opened_is_told_with_its_option(tmp_path: Path, option: str) -> None:
    flag = "--" + option.replace("_", "-")
    with bare() as ours:
        for path, reason in [
            (tmp_path / "none" / "log", "No such file or directory"),
            (tmp_path, "Is a directory"),
        ]:
            with pytest.raises(ConfigError) as caught:
                configure(Logging(**{option: str(path)}))
            assert caught.value.message == f"{flag} {path}: {reason}"
        assert ours.handlers == []


def test_a_fifo_nobody_reads_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    with bare():
        with pytest.raises(ConfigError, match="--log-file"):
            configure(Logging(log_file=fifo))
        with pytest.raises(ConfigError, match="--access-log-file"):
            access_sink(Logging(access_log_file=fifo))


def test_a_full_disk_does_not_reach_who_logs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.symlink_to("/dev/full")
    with bare():
        configure(Logging(log_file=str(log)))
        logging.getLogger("fastserve.error").info("no room")
        log.unlink()
        reopen()
        logging.getLogger("fastserve.error").info("room")
        assert log.read_text().endswith(" room\n")


# -- rotated files ---------------------------------------------------------------------


def rename(path: Path) -> Path:
    """As logrotate does."""
    return path.rename(path.with_suffix(".1"))


def test_a_renamed_log_file_is_left_when_it_is_reopened(tmp_path: Path) -> None:
    log, error = tmp_path / "log", logging.getLogger("fastserve.error")
    with bare():
        configure(Logging(log_file=str(log)))
        error.info("one")
        old = rename(log)
        error.info("two")
        reopen()
        error.info("three")
        assert [line.split()[-1] for line in old.read_text().splitlines()] == ["one", "two"]
        assert [line.split()[-1] for line in log.read_text().splitlines()] == ["three"]


def test_a_log_file_that_cannot_be_reopened_stays_in_use(tmp_path: Path) -> None:
    log, error = tmp_path / "here" / "log", logging.getLogger("fastserve.error")
    log.parent.mkdir()
    with bare():
        configure(Logging(log_file=str(log)))
        moved = log.parent.rename(tmp_path / "there") / "log"
        reopen()
        error.info("still")
        told, still = moved.read_text().splitlines()
        assert f"cannot reopen the log file {log}: No such file or directory" in told
        assert still.endswith("still")


def test_the_files_of_a_log_config_are_reopened_wherever_they_hang(tmp_path: Path) -> None:
    places = {
        name: tmp_path / name
        for name in ("root", "ours", "theirs", "emptied", "behind", "rotating")
    }
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            name: {"class": "logging.FileHandler", "filename": str(path)}
            for name, path in places.items()
        },
        "root": {"handlers": ["root"], "level": "INFO"},
        "loggers": {
            "fastserve": {"handlers": ["ours", "emptied", "memory"], "level": "INFO"},
            "theirs.own": {"handlers": ["theirs", "rotating"], "propagate": False, "level": "INFO"},
        },
    }
    handlers: Any = config["handlers"]
    handlers["emptied"]["mode"] = "w"
    handlers["rotating"]["class"] = "logging.handlers.RotatingFileHandler"
    handlers["memory"] = {
        "class": "logging.handlers.MemoryHandler",
        "capacity": 1,
        "target": "behind",
    }
    with bare() as ours:
        configure(Logging(log_config=config))
        for _ in range(2):
            logging.getLogger("fastserve.error").info("hello")
            logging.getLogger("theirs.own").info("hello")
            reopen()
        assert places["emptied"].read_text() == "hello\nhello\n"
        renamed = {name: rename(path) for name, path in places.items()}
        reopen()
        assert {name for name, path in places.items() if path.exists()} == {*places} - {"rotating"}
        logging.getLogger("fastserve.error").info("again")
        logging.getLogger("theirs.own").info("again")
        for name, path in places.items():
            new, old = ("again\n", "") if name != "rotating" else ("", "again\n")
            assert (path.read_text() if path.exists() else "") == new
            assert renamed[name].read_text() == "hello\nhello\n" + old
        theirs, memory = logging.getLogger("theirs.own"), ours.handlers[-1]
        assert isinstance(memory, logging.handlers.MemoryHandler)
        assert memory.target is not None
        for handler in (*theirs.handlers, memory.target):
            theirs.removeHandler(handler)
            handler.close()


def test_a_handler_that_has_not_opened_its_file_is_left_alone(tmp_path: Path) -> None:
    with bare() as ours:
        ours.addHandler(logging.FileHandler(tmp_path / "log", delay=True))
        reopen()
        assert not (tmp_path / "log").exists()


# -- access lines in a file ------------------------------------------------------------


@contextmanager
def access_file(target: str | int) -> Iterator[FileSink]:
    file = FileSink(target)
    try:
        yield file
    finally:
        file.close()


def test_access_lines_go_to_the_file_that_is_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "access"
    log.write_bytes(b"before\n")
    file = access_sink(Logging(access_log_file=str(log)))
    assert file is not None
    file.write(b"one\ntwo\n")
    assert log.read_bytes() == b"before\none\ntwo\n"
    file.close()


def test_what_is_written_after_the_end_goes_nowhere(tmp_path: Path) -> None:
    with access_file(str(tmp_path / "access")) as file:
        file.close()
        taken = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)  # may get the number
        file.write(b"late\n")
        file.reopen()
        os.close(taken)
    assert (tmp_path / "other").read_bytes() == b""
    assert (tmp_path / "access").read_bytes() == b""


def test_several_files_on_one_path_mix_whole_lines_only(tmp_path: Path) -> None:
    log = tmp_path / "access"

    def write(letter: bytes) -> None:
        with access_file(str(log)) as file:
            for _ in range(200):
                file.write((letter * 99 + b"\n") * 50)

    threads = [threading.Thread(target=write, args=(each,)) for each in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = log.read_bytes().splitlines()
    assert sorted(lines) == [b"a" * 99] * 10_000 + [b"b" * 99] * 10_000


def test_a_renamed_access_log_is_left_when_it_is_reopened(tmp_path: Path) -> None:
    log = tmp_path / "access"
    with access_file(str(log)) as file:
        file.write(b"one\n")
        old = rename(log)
        file.write(b"two\n")
        file.reopen()
        file.write(b"three\n")
    assert old.read_bytes() == b"one\ntwo\n"
    assert log.read_bytes() == b"three\n"


def test_an_access_log_that_cannot_be_reopened_stays_in_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "here" / "access"
    log.parent.mkdir()
    with access_file(str(log)) as file:
        moved = log.parent.rename(tmp_path / "there") / "access"
        file.reopen()
        file.write(b"still\n")
    assert moved.read_bytes() == b"still\n"
    assert f"cannot reopen the log file {log}: No such file or directory" in caplog.text


def test_lines_a_full_disk_does_not_take_are_counted_and_the_next_are_tried(
    tmp_path: Path,
) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    with access_file(fd) as file:
        file.write(b"one\ntwo\n")
        file.write(b"three\n")
        room = os.open(tmp_path / "access", os.O_WRONLY | os.O_CREAT)
        os.dup2(room, fd)
        file.write(b"four\n")
        file.write(b"five\n")
    os.close(room)
    os.close(fd)
    expected = b"(3 lines dropped)\nfour\nfive\n"
    assert (tmp_path / "access").read_bytes() == expected


def test_the_count_of_a_full_disk_outlives_reopening(tmp_path: Path) -> None:
    log = tmp_path / "access"
    log.symlink_to("/dev/full")
    with access_file(str(log)) as file:
        file.write(b"one\n")
        log.unlink()
        file.reopen()
        file.write(b"two\n")
    assert log.read_bytes() == b"(1 lines dropped)\ntwo\n"


def test_a_line_torn_by_a_full_disk_is_ended_before_the_next(tmp_path: Path) -> None:
    log = tmp_path / "access"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with access_file(str(log)) as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6, limits[1]))
        try:
            file.write(b"one\ntwo\nthree\n")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        file.write(b"four\n")
    assert log.read_bytes() == b"one\ntw\n(2 lines dropped)\nfour\n"


def test_a_reader_that_has_gone_is_written_to_again_once_reopened(tmp_path: Path) -> None:
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    first = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with access_file(fifo) as file:
        os.close(first)
        file.write(b"nobody\n")
        second = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        file.write(b"still broken\n")
        file.reopen()
        file.write(b"hello\n")
        assert os.read(second, 100) == b"hello\n"
        os.close(second)
