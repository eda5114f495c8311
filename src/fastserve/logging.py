"""Where log messages and access lines go.

Messages go through the standard `logging` module: the logger `fastserve.error` is for the
server and unhandled errors of the application, `fastserve.access` for access lines when
logging has been configured by the user. Without that, access lines, which the native
code hands over whole and in batches, are written straight to stdout or to a file. Several
processes append to the same file. Whoever rotates it renames it and has it reopened.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import json
import logging
import logging.config
import logging.handlers
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from fastserve.config import Logging
from fastserve.errors import ConfigError

__all__ = [
    "TRACE",
    "AccessFile",
    "access_writer",
    "configure",
    "has_access_log",
    "is_colourful",
    "reopen",
]

TRACE = 5
_LEVELS = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}
_COLOURS = {
    TRACE: "34",
    logging.DEBUG: "36",
    logging.INFO: "32",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "1;31",
}
_PENDING_MOST = 1 << 20
_CLOSE_SECONDS = 1.0
_LINE_END = ord("\n")

# What passes: a full disk, a used-up quota, a file at its limit, a device in trouble.
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

_log = logging.getLogger("fastserve.error")


class Formatter(logging.Formatter):
    """Time, level, message; the level in colour if `colour`."""

    def __init__(self, colour: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(message)s", "%Y-%m-%d %H:%M:%S")
        self._colour = colour

    def formatMessage(self, record: logging.LogRecord) -> str:
        if self._colour and record.levelno in _COLOURS:
            record = copy.copy(record)
            record.levelname = f"\033[{_COLOURS[record.levelno]}m{record.levelname:<8}\033[0m"
        return super().formatMessage(record)


class _Handler(logging.StreamHandler[TextIO]):
    """Our own, told from a user's by its type."""


class _FileHandler(logging.FileHandler):
    """Our own for `log_file`. Opening it never waits."""

    def _open(self) -> TextIOWrapper:
        fd = _open_to_append(self.baseFilename)
        return open(fd, "a", encoding=self.encoding, errors=self.errors)


def configure(options: Logging) -> None:
    """Set the loggers up as `options` say.

    With a `log_config`, that is applied. Without, the logger `fastserve` gets a handler
    for `log_file` or stderr and the level info. Where no `log_file` is asked for, it gets none
    if it or the root logger has a handler already: then the program that embeds the server
    has decided. A level that is asked for is set in any case. Raises `ConfigError` if the
    configuration cannot be read or applied, or a file cannot be opened.
    """
    logging.addLevelName(TRACE, "TRACE")
    _check(options)
    logger = logging.getLogger("fastserve")
    file = _open_log_file(options)
    for handler in [each for each in logger.handlers if isinstance(each, _Handler | _FileHandler)]:
        logger.removeHandler(handler)  # an earlier server's; its stderr may be another
        with contextlib.suppress(OSError):  # a full disk
            handler.close()
        logger.propagate = True
    if options.log_config is not None:
        _apply(options.log_config)
    elif file is not None or not (logger.handlers or logging.getLogger().handlers):
        handler = file or _Handler()
        stream = None if file is not None else sys.stderr
        handler.setFormatter(Formatter(is_colourful(options, stream)))
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.INFO)
    if options.log_level is not None:
        logger.setLevel(_LEVELS[options.log_level])


def _check(options: Logging) -> None:
    """Refuse what cannot be, before a worker would fail of it."""
    if options.log_config is not None:
        for flag, value in (
            ("--log-file", options.log_file),
            ("--access-log-file", options.access_log_file),
        ):
            if value is not None:
                raise ConfigError(
                    f"{_config_name(options.log_config)} and {flag} {value} exclude each other: "
                    "the logging configuration says where everything goes"
                )
        return
    path = options.access_log_file
    if path is not None and has_access_log(options) and not Path(path).is_fifo():
        # Opening a FIFO in order to look would end its reader.
        _open_access_file(path).close()


def _open_log_file(options: Logging) -> _FileHandler | None:
    if options.log_file is None:
        return None
    try:
        return _FileHandler(options.log_file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"--log-file {options.log_file}: {error.strerror}") from None


def is_colourful(options: Logging, stream: TextIO | None) -> bool:
    """Whether what goes to `stream` is coloured (NO_COLOR, no-color.org, is obeyed).

    `None` is a file, or nothing: coloured only where colours are asked for.
    """
    if options.use_colors is not None:
        return options.use_colors
    if stream is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def has_access_log(options: Logging) -> bool:
    """Whether access lines are written: they are wanted, and not below the level."""
    if options.log_config is not None:
        return options.access_log and logging.getLogger("fastserve.access").isEnabledFor(
            logging.INFO
        )
    return options.access_log and _LEVELS[options.log_level or "info"] <= logging.INFO


def access_writer(options: Logging) -> Callable[[bytes], None]:
    """What takes batches of whole access lines. It never raises.

    Unless the lines go to a logger, it is the `write` of an `AccessFile`. Raises `ConfigError`
    if the file cannot be opened.
    """
    if options.log_config is not None:
        return _write_to_logger
    if options.access_log_file is not None:
        return _open_access_file(options.access_log_file).write
    return AccessFile(1).write


def _open_access_file(path: str) -> AccessFile:
    try:
        return AccessFile(path)
    except OSError as error:
        raise ConfigError(f"--access-log-file {path}: {error.strerror}") from None


def _write_to_logger(lines: bytes) -> None:
    logger = logging.getLogger("fastserve.access")
    for line in lines.decode("utf-8", "replace").splitlines():
        logger.info("%s", line)


class AccessFile:
    """Writes whole lines to a file, or to a descriptor that may be a slow pipe, and is not ours.

    What a non-blocking descriptor does not take is kept, up to 1 MiB, and goes first the
    next time; beyond that whole batches are dropped, as is a batch for which the disk is
    full. The number of dropped lines is written as soon as there is room. After any
    other error (a closed pipe) everything is dropped until the file is reopened: a log
    nobody reads must not stop the server.
    """

    def __init__(self, target: str | int) -> None:
        """Append to the file of that path, or write to that descriptor.

        Raises `OSError` if the file cannot be opened.
        """
        self._path = os.path.abspath(target) if isinstance(target, str) else None
        self._fd = _open_to_append(target) if isinstance(target, str) else target
        self._pending = bytearray()
        self._dropped = 0
        self._torn = False  # the last thing written is part of a line
        self._broken = False

    def write(self, lines: bytes) -> None:
        """Write `lines`, or keep what cannot be written now. Never raises."""
        if self._broken:
            return
        if self._pending:
            self._flush()
        if self._dropped and not self._pending:
            self._tell_dropped()
        if self._pending:
            self._keep(lines)
        elif self._dropped:
            self._drop(lines)  # there is no room for the notice, which comes first
        else:
            done = self._put(lines)
            if done < len(lines):
                self._pending += memoryview(lines)[done:]

    def reopen(self) -> None:
        """Open the file of our path anew, and leave the one it was to whoever renamed it.

        If that fails an error is logged, and the old file stays in use. A descriptor that is
        not ours stays as it is.
        """
        if self._path is None or self._fd < 0:
            return
        try:
            new = _open_to_append(self._path)
        except OSError as error:
            _tell_not_reopened(self._path, error)
            return
        if not self._broken:
            self._flush()
        os.close(self._fd)
        self._fd, self._broken, self._torn = new, False, False

    def close(self) -> None:
        """Give kept lines a second to be taken, then drop all. Closes only what it opened."""
        end = time.monotonic() + _CLOSE_SECONDS
        while self._pending and not self._broken:
            left = end - time.monotonic()
            try:
                if left <= 0 or not select.select([], [self._fd], [], left)[1]:
                    break
            except (OSError, ValueError):
                break
            self._flush()
        if self._path is not None and self._fd >= 0:
            os.close(self._fd)
        self._fd, self._broken = -1, True

    def _keep(self, lines: bytes) -> None:
        if len(self._pending) + len(lines) > _PENDING_MOST:
            self._drop(lines)
        else:
            self._pending += lines

    def _drop(self, lines: bytes) -> None:
        self._dropped += lines.count(b"\n")

    def _tell_dropped(self) -> None:
        """Say how many lines are missing; if there is no room for that, say it later."""
        dropped, self._dropped = self._dropped, 0
        self._pending += b"%s(%d access lines dropped)\n" % (b"\n" * self._torn, dropped)
        self._flush()
        if self._dropped:
            self._dropped = dropped

    def _flush(self) -> None:
        with memoryview(self._pending) as view:
            done = self._put(view)
        del self._pending[:done]

    def _put(self, data: bytes | memoryview) -> int:
        """How many bytes are done with: written, or dropped because they never can be now."""
        done = 0
        while done < len(data) and not self._broken:
            try:
                with memoryview(data)[done:] as rest:
                    done += os.write(self._fd, rest)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in _PASSING:
                    self._broken = True
                    return len(data)
                self._note_end(data, done)
                self._drop(bytes(data[done:]))
                return len(data)
        self._note_end(data, done)
        return done

    def _note_end(self, data: bytes | memoryview, done: int) -> None:
        if done:
            self._torn = data[done - 1] != _LINE_END


def _open_to_append(path: str) -> int:
    """A descriptor that no child inherits; opening a FIFO nobody reads fails, and waits not."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, 0o666)


# -- log files that have been renamed --------------------------------------------------


def reopen() -> None:
    """Open the files of all handlers anew, ours and the user's, as after a rotation.

    Handlers that rotate by themselves are left alone. A file that cannot be opened is told in an
    error, and the handler keeps the old one.
    """
    for handler in _file_handlers():
        try:
            _reopen(handler)
        except OSError as error:
            _tell_not_reopened(handler.baseFilename, error)


def _tell_not_reopened(path: str, error: OSError) -> None:
    _log.error("cannot reopen the log file %s: %s; the old one stays in use", path, error.strerror)


def _reopen(handler: logging.FileHandler) -> None:
    handler.acquire()
    try:
        if handler.stream is None:
            return  # not opened yet, or closed
        handler.mode = "a"  # "w" was meant for the start, and would empty a file nobody renamed
        new = handler._open()
        old, handler.stream = handler.stream, new
        with contextlib.suppress(OSError):  # a full disk: what is left in the buffer is lost
            old.close()
    finally:
        handler.release()


def _file_handlers() -> Iterator[logging.FileHandler]:
    """Each handler once that writes a file, of any logger or behind another handler."""
    loggers = [logging.getLogger(), *logging.getLogger().manager.loggerDict.values()]
    waiting = [
        handler
        for logger in loggers
        if isinstance(logger, logging.Logger)
        for handler in logger.handlers
    ]
    seen: set[int] = set()
    while waiting:
        handler = waiting.pop()
        if id(handler) in seen:
            continue
        seen.add(id(handler))
        if isinstance(handler, logging.handlers.MemoryHandler) and handler.target is not None:
            waiting.append(handler.target)
        # A queue's listener, which `dictConfig` knows how to make from Python 3.12 on.
        waiting += getattr(getattr(handler, "listener", None), "handlers", ())
        if isinstance(handler, logging.FileHandler) and not isinstance(
            handler, logging.handlers.BaseRotatingHandler
        ):
            yield handler


# -- the user's configuration ----------------------------------------------------------


def _apply(config: str | Mapping[str, Any]) -> None:
    told = _config_name(config)
    try:
        if not isinstance(config, str):
            logging.config.dictConfig(dict(config))
            return
        suffix = os.path.splitext(config)[1].lower()
        if suffix in (".json", ".yaml", ".yml"):
            logging.config.dictConfig(_read(config, suffix))
        else:
            if not os.path.isfile(config):
                raise ConfigError(f"{told}: there is no such file")
            logging.config.fileConfig(config, disable_existing_loggers=False)
    except ConfigError:
        raise
    except Exception as error:
        # The standard module wraps the reason ("Unable to configure handler 'x'").
        reason = f"{error} ({error.__cause__})" if error.__cause__ else str(error)
        raise ConfigError(f"{told}: {reason or type(error).__name__}") from None


def _config_name(config: str | Mapping[str, Any]) -> str:
    return f"--log-config {config}" if isinstance(config, str) else "log_config"


def _read(path: str, suffix: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        if suffix == ".json":
            found = json.load(file)
        else:
            try:
                import yaml
            except ImportError:
                raise ConfigError(
                    f"--log-config {path} needs PyYAML: pip install 'fastserve[standard]'"
                ) from None
            found = yaml.safe_load(file)
    if not isinstance(found, dict):
        raise ConfigError(f"--log-config {path}: it does not hold a mapping")
    return found
