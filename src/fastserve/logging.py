"""Where log messages and access lines go.

Messages go through the standard `logging` module: the logger `fastserve.error` is for the
server and unhandled errors of the application, `fastserve.access` for access lines when
logging has been configured by the user. Without that, access lines, which the native
code hands over whole and in batches, are written straight to stdout.
"""

from __future__ import annotations

import copy
import json
import logging
import logging.config
import os
import select
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from fastserve.config import Logging
from fastserve.errors import ConfigError

__all__ = ["TRACE", "AccessFile", "access_writer", "configure", "has_access_log", "is_colourful"]

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


def configure(options: Logging) -> None:
    """Set the loggers up as `options` say.

    With a `log_config`, that is applied. Without, the logger `fastserve` gets a handler
    for stderr and the level info, unless it or the root logger has a handler already: then
    the program that embeds the server has decided. A level that is asked for is set in any
    case. Raises `ConfigError` if the configuration cannot be read or applied.
    """
    logging.addLevelName(TRACE, "TRACE")
    logger = logging.getLogger("fastserve")
    for handler in [each for each in logger.handlers if isinstance(each, _Handler)]:
        logger.removeHandler(handler)  # an earlier server's; its stderr may be another
        logger.propagate = True
    if options.log_config is not None:
        _apply(options.log_config)
    elif not logger.handlers and not logging.getLogger().handlers:
        handler = _Handler()
        handler.setFormatter(Formatter(is_colourful(options, sys.stderr)))
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.INFO)
    if options.log_level is not None:
        logger.setLevel(_LEVELS[options.log_level])


def is_colourful(options: Logging, stream: TextIO | None) -> bool:
    """Whether what goes to `stream` is coloured (NO_COLOR, no-color.org, is obeyed)."""
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
    """What takes batches of whole access lines. It never raises."""
    if options.log_config is None:
        return AccessFile(1).write
    return _write_to_logger


def _write_to_logger(lines: bytes) -> None:
    logger = logging.getLogger("fastserve.access")
    for line in lines.decode("utf-8", "replace").splitlines():
        logger.info("%s", line)


class AccessFile:
    """Writes bytes to a file descriptor that may be a slow pipe, a full disk or closed.

    What a non-blocking descriptor does not take is kept, up to 1 MiB, and goes first the
    next time; beyond that whole batches are dropped and their number is written as soon
    as there is room. After any other error (a closed pipe) everything is dropped: a log
    nobody reads must not stop the server.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pending = bytearray()
        self._dropped = 0
        self._broken = False

    def write(self, lines: bytes) -> None:
        """Write `lines`, or keep what cannot be written now. Never raises."""
        if self._broken:
            return
        if self._pending:
            self._flush()
        if not self._pending and self._dropped:
            self._keep(b"(%d batches of access lines dropped)\n" % self._dropped)
            self._dropped = 0
            self._flush()
        if self._pending:
            self._keep(lines)
            return
        written = self._write_some(lines)
        if written < len(lines):
            self._pending += memoryview(lines)[written:]

    def close(self) -> None:
        """Give kept lines a second to be taken. The descriptor stays open."""
        end = time.monotonic() + _CLOSE_SECONDS
        while self._pending and not self._broken:
            left = end - time.monotonic()
            try:
                if left <= 0 or not select.select([], [self._fd], [], left)[1]:
                    return
            except (OSError, ValueError):
                return
            self._flush()

    def _keep(self, lines: bytes) -> None:
        if len(self._pending) + len(lines) > _PENDING_MOST:
            self._dropped += 1
        else:
            self._pending += lines

    def _flush(self) -> None:
        with memoryview(self._pending) as view:
            written = self._write_some(view)
        del self._pending[:written]

    def _write_some(self, data: bytes | memoryview) -> int:
        """How many bytes the descriptor has taken; all of them once it is broken."""
        done = 0
        while done < len(data) and not self._broken:
            try:
                with memoryview(data)[done:] as rest:
                    done += os.write(self._fd, rest)
            except BlockingIOError:
                return done
            except OSError:
                self._broken = True
        return len(data)


# -- the user's configuration ----------------------------------------------------------


def _apply(config: str | Mapping[str, Any]) -> None:
    told = f"--log-config {config}" if isinstance(config, str) else "log_config"
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
