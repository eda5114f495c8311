"""The main program's part: run what a config describes and tell of failures."""

from __future__ import annotations

import os
import sys

from fastserve import envfiles
from fastserve.config import Config
from fastserve.errors import FastserveError
from fastserve.terminal import HANDOVER, TRIAL, open_standard_streams

__all__ = ["launch"]


def launch(config: Config) -> int:
    """Serve until stopped; the exit status.

    0 after a clean stop, 1 if the application's shutdown failed, 2 for a wrong option,
    3 if the server could not start. Foreseen errors are told on stderr.
    """
    open_standard_streams()
    try:
        envfiles.load(config.application.env_file)
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
    if TRIAL in os.environ or HANDOVER in os.environ:
        from fastserve.supervision.upgrade import is_trial

        if is_trial(os.environ):
            from fastserve.check import check

            status = check(config, import_only=True)
            sys.stdout.flush()
            sys.stderr.flush()
            # A thread that the application started must not keep the answer back.
            os._exit(status)
        # Handed over by a supervisor: its workers need one, whatever the options say now.
    elif not config.is_supervised:
        from fastserve.standalone import Standalone

        Standalone(config).run()
        return 0
    from fastserve.supervision.supervisor import Supervisor

    return Supervisor(config).run()
