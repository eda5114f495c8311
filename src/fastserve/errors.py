"""What can go wrong before a request is served, told to a person in a line or two.

Every error that fastserve itself foresees is a `FastserveError`. Its text is meant for
the terminal as it stands; the command prints `report()` and exits with `status`.
"""

from __future__ import annotations

import importlib
import os
import traceback

__all__ = ["AppError", "BindError", "ConfigError", "FastserveError", "LifespanError", "is_ours"]

_MACHINERY = (
    os.path.dirname(os.path.abspath(__file__)) + os.sep,
    importlib.__file__,
    "<frozen importlib",
)


class FastserveError(Exception):
    """A foreseen failure.

    `details` is text of the application's own, usually its traceback, shown above the
    message. `status` is the exit status of the command.
    """

    status = 3

    def __init__(self, message: str, *, details: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def report(self) -> str:
        """The text for stderr, without a final line end."""
        text = f"fastserve: {self.message}"
        return f"{self.details.rstrip()}\n{text}" if self.details else text


class ConfigError(FastserveError):
    """An option that does not exist, or a value it cannot have."""

    status = 2


class AppError(FastserveError):
    """The application cannot be imported or is not an ASGI application."""


class BindError(FastserveError):
    """The address cannot be listened on."""


class LifespanError(FastserveError):
    """The application said, or showed, that its start-up failed."""


def app_traceback(error: BaseException) -> str:
    """The traceback of `error` without the frames of fastserve and of the import machinery.

    Causes, contexts and exception groups are kept, each trimmed in the same way.
    """
    told = traceback.TracebackException.from_exception(error)
    _trim(told, set())
    return "".join(told.format())


def _trim(told: traceback.TracebackException, seen: set[int]) -> None:
    if id(told) in seen:
        return
    seen.add(id(told))
    told.stack[:] = [frame for frame in told.stack if not is_ours(frame.filename)]
    for other in (told.__cause__, told.__context__, *(getattr(told, "exceptions", None) or ())):
        if other is not None:
            _trim(other, seen)


def is_ours(filename: str) -> bool:
    """Whether the file is fastserve's or the import machinery's."""
    return filename.startswith(_MACHINERY)
