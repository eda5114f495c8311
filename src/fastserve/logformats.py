"""Messages as structured lines: JSON or logfmt, one line for each record."""

from __future__ import annotations

import json
import logging
import os
import re
import time
import traceback
from collections.abc import Iterator
from typing import Any

__all__ = ["JsonFormatter", "LogfmtFormatter", "notice"]


class _Structured(logging.Formatter):
    """One line for each record. `worker`: the number of the process among its siblings."""

    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._worker = worker

    def _facts(self, record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
        yield "time", _rfc3339(record.created)
        yield "level", record.levelname.lower()
        yield "logger", record.name
        yield "message", record.getMessage()
        if self._worker is not None:
            yield "worker", self._worker
        yield "pid", record.process or os.getpid()
        for name in ("request_method", "request_target", "request_id"):
            value = getattr(record, name, None)
            if value is not None:
                yield name, value

    def _exception(self, record: logging.LogRecord) -> dict[str, str] | None:
        kind, error, where = record.exc_info or (None, None, None)
        stack = f"\n{record.stack_info}" if record.stack_info else ""
        if kind is None or error is None:
            return {"traceback": stack.lstrip("\n")} if stack else None
        return {
            "type": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
            "message": _told(error),
            "traceback": "".join(traceback.format_exception(kind, error, where)).rstrip("\n")
            + stack,
        }


def _told(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(it cannot be told)"


class JsonFormatter(_Structured):
    """A JSON object, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        facts = dict(self._facts(record))
        exception = self._exception(record)
        if exception is not None:
            facts["exception"] = exception
        return json.dumps(facts, separators=(",", ":")).replace("\x7f", "\\u007f")


class LogfmtFormatter(_Structured):
    """key=value pairs."""

    def format(self, record: logging.LogRecord) -> str:
        facts = dict(self._facts(record))
        for name, value in (self._exception(record) or {}).items():
            facts["traceback" if name == "traceback" else f"exception_{name}"] = value
        return _logfmt(facts)


def _logfmt(facts: dict[str, Any]) -> str:
    """`facts` as key=value pairs; what is not plain is quoted and escaped as in JSON."""
    return " ".join(f"{name}={_value(value)}" for name, value in facts.items())


def _value(value: object) -> str:
    text = str(value)
    if re.fullmatch(r"[!#-<>-\[\]-~]+", text):
        return text
    return json.dumps(text).replace("\x7f", "\\u007f")


def notice(dialect: str, text: str) -> str:
    """A line of the server's own among the lines of a log of that dialect."""
    facts = {"time": _rfc3339(time.time()), "level": "warning", "message": text}
    if dialect == "json":
        return json.dumps(facts, separators=(",", ":"))
    return _logfmt(facts) if dialect == "logfmt" else f"({text})"


def _rfc3339(seconds: float) -> str:
    """In UTC, with milliseconds."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{stamp}.{int(seconds % 1 * 1000):03}Z"
