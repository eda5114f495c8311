"""Loggers as they are before anything has configured logging, and what they log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def bare() -> Iterator[logging.Logger]:
    """The logger `fastserve` as in a process where nothing has configured logging."""
    root, ours = logging.getLogger(), logging.getLogger("fastserve")
    kept = root.handlers[:], ours.handlers[:], ours.level, ours.propagate
    root.handlers[:] = []
    ours.handlers[:] = []
    ours.propagate = True
    try:
        yield ours
    finally:
        _restore(root, ours, kept)


def _restore(root: logging.Logger, ours: logging.Logger, kept: Any) -> None:
    for each in {*root.handlers, *ours.handlers} - {*kept[0], *kept[1]}:
        each.close()
    root.handlers[:], ours.handlers[:], ours.level, ours.propagate = kept
    access = logging.getLogger("fastserve.access")
    access.handlers[:], access.propagate = [], True
    access.setLevel(logging.NOTSET)  # which also forgets what is enabled


class LogRecords(logging.Handler):
    """Everything logged below the logger `fastserve` while a test ran."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def noise(self) -> list[str]:
        """Messages of warning level and above, with their tracebacks."""
        formatter = logging.Formatter("%(levelname)s %(message)s")
        return [formatter.format(r) for r in self.records if r.levelno >= logging.WARNING]
