"""fastserve, an ASGI server with a native request path."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fastserve.config import Config
from fastserve.errors import FastserveError

if TYPE_CHECKING:
    from fastserve.server import Server

    __version__: str

__all__ = ["Config", "FastserveError", "Server", "__version__", "run"]


def run(app: object, **options: Any) -> None:
    """Serve `app` (an import string, a path or an ASGI callable) until stopped.

    `options` are those of the command, by name: `run("main:app", port=9000, workers=4)`.
    They win over the environment and the files of options, which are read too. Failures are
    told on stderr and end the program with `SystemExit`. While the server imports the
    application, a call does nothing: so a script may name itself without a guard.
    """
    from fastserve.importer import is_importing
    from fastserve.launch import launch
    from fastserve.sources import gather

    if is_importing():
        return
    try:
        config = gather(app, {name: (value, name) for name, value in options.items()})
    except FastserveError as error:
        print(error.report(), file=sys.stderr)
        sys.exit(error.status)
    status = launch(config)
    if status:
        sys.exit(status)


def __getattr__(name: str) -> Any:
    # The server needs the native modules; options, help and errors do not. What the
    # version needs (importlib.metadata) takes longer to import than the rest.
    if name == "Server":
        from fastserve.server import Server

        return Server
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("fastserve")
        except PackageNotFoundError:  # run from a source tree that is not installed
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
