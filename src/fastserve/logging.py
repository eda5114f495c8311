"""Where log messages and access lines go.

Messages go through the standard `logging` module: the logger `fastserve.error` is for the
server and unhandled errors of the application, `fastserve.access` for access lines when
logging has been configured by the user. Without that, access lines, which the native
code hands over whole and in batches, are written straight to stdout, a file or syslog
(`logsinks`). Several processes append to the same file. Whoever rotates it renames it and has
it reopened.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import logging.config
import logging.handlers
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from fastserve.accessformats import access_steps
from fastserve.config import Logging
from fastserve.errors import ConfigError
from fastserve.logformats import JsonFormatter, LogfmtFormatter, notice
from fastserve.logsinks import FileSink, Sink, tell_not_reopened
from fastserve.syslog import SEVERITIES, SyslogSink, is_syslog

__all__ = [
    "TRACE",
    "access_sink",
    "configure",
    "has_access_log",
    "is_colourful",
    "reopen",
    "write_to_logger",
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


class Formatter(logging.Formatter):
    """Time, level, message; the level in colour if `colour`.

    Lines of tracebacks are indented: an application's exception may quote what a client sent,
    and must not look like a message.
    """

    def __init__(self, colour: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(message)s", "%Y-%m-%d %H:%M:%S")
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_text:
            record = copy.copy(record)
            record.exc_text = None  # as another handler's formatter has put it
        return super().format(record)

    def formatException(self, ei: Any) -> str:
        lines = super().formatException(ei).split("\n")
        return "\n".join("  " + "".join(map(_harmless, line)) for line in lines)

    def formatMessage(self, record: logging.LogRecord) -> str:
        if self._colour and record.levelno in _COLOURS:
            record = copy.copy(record)
            record.levelname = f"\033[{_COLOURS[record.levelno]}m{record.levelname:<8}\033[0m"
        return super().formatMessage(record)


def _harmless(character: str) -> str:
    """Itself, or its escape if a terminal would obey it or a reader end the line at it."""
    if character.isprintable() or character == "\t":
        return character
    return character.encode("unicode_escape").decode("ascii")


class _StreamHandler(logging.StreamHandler[TextIO]):
    """Our own for a stderr that is no file of the system, told from a user's by its type."""


class _SinkHandler(logging.Handler):
    """Our own for anything else: no message waits for whoever reads the log."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self.sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        if isinstance(self.sink, SyslogSink):
            severity = next(told for least, told in SEVERITIES if record.levelno >= least)
            self.sink.write(data, severity)
        else:
            self.sink.write(data)

    def flush(self) -> None:
        self.sink.flush()

    def end(self) -> None:
        """Another handler takes its place.

        `close` leaves the sink open: an application's `dictConfig` calls that of every handler.
        """
        self.sink.close()
        super().close()


_OURS = (_StreamHandler, _SinkHandler)


def configure(options: Logging, worker: int | None = None) -> None:
    """Set the loggers up as `options` say, in the process of that number.

    With a `log_config`, that is applied. Without, the logger `fastserve` gets a handler
    for `log_file` or stderr and the level info. Where no `log_file` is asked for, it gets none
    if it or the root logger has a handler already: then the program that embeds the server
    has decided. A level that is asked for is set in any case. Raises `ConfigError` if the
    configuration cannot be read or applied, or a file cannot be opened.
    """
    logging.addLevelName(TRACE, "TRACE")
    _check(options)
    logger = logging.getLogger("fastserve")
    handler = _own_handler(options)
    for each in [each for each in logger.handlers if isinstance(each, _OURS)]:
        logger.removeHandler(each)  # an earlier server's; its stderr may be another
        if isinstance(each, _SinkHandler):
            each.end()
        else:
            each.close()
        logger.propagate = True
    if options.log_config is not None:
        _apply(options.log_config)
    elif options.log_file is not None or not (logger.handlers or logging.getLogger().handlers):
        if handler is None:
            handler = _stderr_handler(options)
        handler.setFormatter(_formatter(options, worker))
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
        _open_sink("--access-log-file", path, options, "access").close()


def _own_handler(options: Logging) -> logging.Handler | None:
    """That of `log_file`."""
    if options.log_file is None:
        return None
    return _SinkHandler(_open_sink("--log-file", options.log_file, options, "error"))


def _stderr_handler(options: Logging) -> logging.Handler:
    try:
        fd = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # none, closed, or something else in its place
        return _StreamHandler()
    return _SinkHandler(FileSink(fd, _teller(options.message_format, "messages")))


def _formatter(options: Logging, worker: int | None) -> logging.Formatter:
    dialect = options.message_format
    if dialect == "json":
        return JsonFormatter(worker)
    if dialect == "logfmt":
        return LogfmtFormatter(worker)
    return Formatter(is_colourful(options, None if options.log_file else sys.stderr))


def _open_sink(flag: str, target: str, options: Logging, kind: str) -> Sink:
    """Raises `ConfigError` if the file cannot be opened, or the syslog reached."""
    if kind == "access":
        tell = _teller(access_steps(options.access_log_format)[0], "access lines")
    else:
        tell = _teller(options.message_format, "messages")
    try:
        if is_syslog(target):
            return SyslogSink(target, kind, tell)
        return FileSink(target, tell)
    except OSError as error:
        raise ConfigError(f"{flag} {target}: {error.strerror or error}") from None


def _teller(dialect: str, what: str) -> Callable[[int], bytes]:
    return lambda dropped: notice(dialect, f"{dropped} {what} dropped").encode()


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


def access_sink(options: Logging) -> Sink | None:
    """Where access lines go; None: to a logger (`write_to_logger`).

    Raises `ConfigError` if it cannot be opened.
    """
    if options.log_config is not None:
        return None
    if options.access_log_file is not None:
        return _open_sink("--access-log-file", options.access_log_file, options, "access")
    return FileSink(1, _teller(access_steps(options.access_log_format)[0], "access lines"))


def write_to_logger(lines: bytes) -> None:
    """Hand whole access lines to the logger `fastserve.access`."""
    logger = logging.getLogger("fastserve.access")
    for line in lines.decode("utf-8", "replace").split("\n")[:-1]:
        logger.info("%s", line)


# -- log files that have been renamed --------------------------------------------------


def reopen() -> None:
    """Open the files of all handlers anew, ours and the user's, as after a rotation.

    Handlers that rotate by themselves are left alone. A file that cannot be opened is told in an
    error, and the handler keeps the old one.
    """
    for handler in _file_handlers():
        if isinstance(handler, _SinkHandler):
            handler.sink.reopen()
            continue
        try:
            _reopen(handler)
        except OSError as error:
            tell_not_reopened(handler.baseFilename, error)


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


def _file_handlers() -> Iterator[logging.FileHandler | _SinkHandler]:
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
        if isinstance(handler, _SinkHandler) or (
            isinstance(handler, logging.FileHandler)
            and not isinstance(handler, logging.handlers.BaseRotatingHandler)
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
