"""The main program's part: run what a config describes and tell of failures."""

from __future__ import annotations

import os
import sys

from fastserve.config import Config
from fastserve.errors import FastserveError
from fastserve.sources import load_env_file

__all__ = ["launch"]


def launch(config: Config) -> int:
    """Serve until stopped; the exit status.

    0 after a clean stop, 1 if the application's shutdown failed, 2 for a wrong option,
    3 if the server could not start. Foreseen errors are told on stderr.
    """
    try:
        if config.application.env_file is not None:
            load_env_file(config.application.env_file)
        return _run(config)
    except FastserveError as error:
        print(error.report(), file=sys.stderr)
        return error.status
    except ImportError as error:
        if error.name != "fastserve._native":
            raise
        print(f"fastserve: {error}", file=sys.stderr)
        return FastserveError.status
    except KeyboardInterrupt:
        return 130


def _run(config: Config) -> int:
    if not config.is_supervised:
        from fastserve.standalone import Standalone

        Standalone(config).run()
        return 0
    from fastserve.supervision.supervisor import Supervisor
    from fastserve.supervision.upgrade import is_trial

    if is_trial(os.environ):
        from fastserve.check import check

        return check(config, import_only=True)
    return Supervisor(config).run()
