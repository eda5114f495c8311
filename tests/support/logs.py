"""Loggers as they are before anything has configured logging."""

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
