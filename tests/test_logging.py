"""Where messages and access lines go."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.logs import bare

from fastserve.config import Logging
from fastserve.errors import ConfigError
from fastserve.logging import (
    TRACE,
    access_sink,
    configure,
    has_access_log,
    is_colourful,
    write_to_logger,
)
from fastserve.logsinks import FileSink

# -- messages --------------------------------------------------------------------------


def test_by_default_messages_go_to_stderr_with_time_and_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bare():
        configure(Logging())
        logging.getLogger("fastserve.error").info("hello")
        logging.getLogger("fastserve.error").debug("not this")
        out, err = capsys.readouterr()
        assert out == ""
        assert err.endswith(" INFO     hello\n")
        assert err.count("\n") == 1


def test_a_level_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with bare():
        configure(Logging(log_level="trace"))
        logging.getLogger("fastserve.error").log(TRACE, "fine")
        assert "TRACE    fine" in capsys.readouterr().err


def test_the_level_is_coloured_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with bare():
        configure(Logging(use_colors=True))
        logging.getLogger("fastserve.error").error("red")
        assert "\033[31mERROR   \033[0m red" in capsys.readouterr().err


def test_a_second_configuration_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    with bare() as ours:
        configure(Logging(use_colors=True))
        configure(Logging(use_colors=False))
        logging.getLogger("fastserve.error").error("once")
        assert capsys.readouterr().err.count("once") == 1
        assert len(ours.handlers) == 1


def test_a_program_that_has_configured_logging_keeps_it() -> None:
    with bare() as ours:
        stream = io.StringIO()
        logging.getLogger().addHandler(logging.StreamHandler(stream))
        ours.setLevel(logging.DEBUG)
        configure(Logging())
        assert ours.handlers == []
        logging.getLogger("fastserve.error").debug("theirs")
        assert stream.getvalue() == "theirs\n"


def test_colours_follow_the_terminal_and_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert is_colourful(Logging(), Terminal())
    assert not is_colourful(Logging(), io.StringIO())
    assert not is_colourful(Logging(), None)
    assert not is_colourful(Logging(use_colors=False), Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_colourful(Logging(), Terminal())
    assert is_colourful(Logging(use_colors=True), None)
    closed = Terminal()
    closed.isatty = io.StringIO.isatty.__get__(closed)  # type: ignore[method-assign]
    closed.close()
    monkeypatch.delenv("NO_COLOR")
    assert not is_colourful(Logging(), closed)


# -- the user's configuration ----------------------------------------------------------


def dict_config(path: Path) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(path)}},
        "loggers": {"fastserve": {"handlers": ["file"], "level": "INFO", "propagate": False}},
    }


INI = """
[loggers]
keys=root,fastserve
[handlers]
keys=file
[formatters]
keys=
[logger_root]
handlers=
[logger_fastserve]
qualname=fastserve
level=INFO
handlers=file
propagate=0
[handler_file]
class=FileHandler
args=({path!r},)
"""


@pytest.mark.parametrize("form", ["dict", "json", "yaml", "ini"])
def test_a_log_config_of_each_form_is_applied(tmp_path: Path, form: str) -> None:
    with bare() as ours:
        log, file = tmp_path / "log", tmp_path / f"config.{form}"
        config: Any = str(file)
        if form == "dict":
            config = dict_config(log)
        elif form == "ini":
            file.write_text(INI.format(path=str(log)))
        else:
            file.write_text(json.dumps(dict_config(log)))  # JSON is YAML too
        options = Logging(log_config=config)
        configure(options)
        logging.getLogger("fastserve.error").info("hello")
        assert has_access_log(options)
        assert access_sink(options) is None
        write_to_logger(b"GET / 200\nGET /\xff 404\n")
        for handler in ours.handlers:
            handler.close()
        assert log.read_text() == "hello\nGET / 200\nGET /\ufffd 404\n"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("none.ini", None, "no such file"),
        ("none.json", None, "No such file"),
        ("bad.json", "{", "Expecting"),
        ("list.json", "[]", "does not hold a mapping"),
        ("bad.ini", "nonsense", "--log-config"),
        ("handler.json", '{"version": 1, "handlers": {"x": {"class": "no.Such"}}}', "'x'"),
    ],
)
def test_a_log_config_that_cannot_be_used_is_explained(
    tmp_path: Path, name: str, text: str | None, reason: str
) -> None:
    with bare():
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            configure(Logging(log_config=str(path)))
        assert reason in caught.value.message
        assert name in caught.value.message


@pytest.mark.parametrize("option", ["log_file", "access_log_file"])
def test_a_log_config_and_a_file_exclude_each_other(tmp_path: Path, option: str) -> None:
    path = tmp_path / "log"
    with bare():
        with pytest.raises(ConfigError) as caught:
            configure(Logging(log_config="log.ini", **{option: str(path)}))
        assert "--log-config log.ini" in caught.value.message
        assert "--" + option.replace("_", "-") in caught.value.message
        assert not path.exists()


def test_the_access_log_is_off_below_its_level() -> None:
    assert has_access_log(Logging())
    assert has_access_log(Logging(log_level="debug"))
    assert not has_access_log(Logging(log_level="warning"))
    assert not has_access_log(Logging(access_log=False))


# -- access lines ----------------------------------------------------------------------


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    yield read, write
    for fd in (read, write):
        with suppress(OSError):
            os.close(fd)


def drain(fd: int) -> bytes:
    data = b""
    while True:
        try:
            more = os.read(fd, 1 << 20)
        except BlockingIOError:
            return data
        if not more:
            return data
        data += more


def test_access_lines_are_written_as_they_are(pipe: tuple[int, int]) -> None:
    FileSink(pipe[1]).write(b"one\ntwo\n")
    assert drain(pipe[0]) == b"one\ntwo\n"


def test_what_a_full_pipe_does_not_take_is_written_later_and_in_order(
    pipe: tuple[int, int],
) -> None:
    file = FileSink(pipe[1])
    lines = [b"%06d\n" % i * 1000 for i in range(40)]
    read = b""
    for each in lines:
        file.write(each)
    read += drain(pipe[0])
    assert 0 < len(read) < len(b"".join(lines))
    while len(read) < len(b"".join(lines)):
        file.write(b"")
        read += drain(pipe[0])
    assert read == b"".join(lines)


def test_when_nobody_reads_whole_batches_are_dropped_and_counted(pipe: tuple[int, int]) -> None:
    file = FileSink(pipe[1])
    batch = b"x" * 99 + b"\n"
    for _ in range(3 * (1 << 20) // len(batch)):
        file.write(batch)
    read = b""
    while more := drain(pipe[0]):
        read += more
        file.write(b"")
    lines = read.splitlines(keepends=True)
    assert any(b"lines dropped)" in line for line in lines)
    assert all(line == batch for line in lines if b"dropped" not in line)


def test_a_closed_pipe_drops_everything_and_raises_nothing(pipe: tuple[int, int]) -> None:
    file = FileSink(pipe[1])
    os.close(pipe[0])
    file.write(b"one\n")
    file.write(b"two\n")
    file.close()


def test_closing_waits_for_what_is_kept(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[0], True)
    file, read = FileSink(pipe[1]), []
    file.write(b"x" * 200_000)

    def reader() -> None:
        while data := os.read(pipe[0], 65536):
            read.append(data)

    thread = threading.Thread(target=reader)
    thread.start()
    file.close()
    os.close(pipe[1])
    thread.join()
    assert b"".join(read) == b"x" * 200_000


def test_a_descriptor_that_is_not_ours_is_neither_closed_nor_reopened(
    pipe: tuple[int, int],
) -> None:
    file = FileSink(pipe[1])
    file.reopen()
    file.write(b"one\n")
    file.close()
    os.write(pipe[1], b"two\n")
    assert drain(pipe[0]) == b"one\ntwo\n"
