"""The servers, how each is started, and what of the scenarios each has a feature for."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
VERSION = """
import importlib, importlib.metadata as metadata, sys
module = importlib.import_module(sys.argv[1])
try:
    print(metadata.version(sys.argv[1]))
except metadata.PackageNotFoundError:
    print(module.__version__)
"""
REQUESTS, SECONDS, MEBIBYTES = 400, 3, 128


@dataclass(frozen=True)
class Peer:
    """One server.

    `can` maps the scenarios that not every server has a feature for to the options it needs then;
    what is not in it the server cannot do. `lacks` says so where the general `no` would mislead.
    """

    name: str
    label: str
    arguments: tuple[str, ...]  # {workers} and {port} are filled in
    can: dict[str, tuple[str, ...]]
    lacks: dict[str, str]
    workers: int = 2
    lifespan: bool = True
    script: bool = False  # is started by the program beside the interpreter, not by -m

    def command(self, python: str, port: int, workers: int, options: tuple[str, ...]) -> list[str]:
        filled = [word.format(workers=workers, port=port, host=HOST) for word in self.arguments]
        program = [str(Path(python).with_name(self.name))] if self.script else ["-m", self.name]
        return [python, *program, *filled, *options, "service:app"]


def version(name: str, python: str) -> str | None:
    """The version of a server in that interpreter; None if it cannot be imported there."""
    command = [python, "-c", VERSION, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


PEERS = [
    Peer(
        "fastserve",
        "fastserve",
        ("--host", "{host}", "--port", "{port}", "--workers", "{workers}", "--no-access-log"),
        {
            "sighup": (),
            "upgrade": (),
            "requests": ("--limit-max-requests", str(REQUESTS)),
            "lifetime": ("--limit-worker-lifetime", str(SECONDS)),
            "memory": ("--limit-worker-memory", f"{MEBIBYTES}m"),
            "scale": (),
            "drain": ("--drain-delay", "2", "--admin-bind", f"{HOST}:{{admin}}"),
            "blocked": ("--timeout-blocked-loop", str(SECONDS)),
            "reload": ("--reload",),
        },
        {},
    ),
    Peer(
        "uvicorn",
        "Uvicorn",
        ("--host", "{host}", "--port", "{port}", "--workers", "{workers}", "--no-access-log"),
        {
            "sighup": (),
            "requests": ("--limit-max-requests", str(REQUESTS)),
            "scale": (),
            "blocked": ("--timeout-worker-healthcheck", str(SECONDS)),
            "reload": ("--reload",),
        },
        {},
    ),
    Peer(
        "hypercorn",
        "Hypercorn",
        ("-b", "{host}:{port}", "-w", "{workers}"),
        {"sighup": (), "requests": ("--max-requests", str(REQUESTS)), "reload": ("--reload",)},
        {},
    ),
    Peer(
        "granian",
        "Granian",
        ("--interface", "asgi", "--host", "{host}", "--port", "{port}", "--workers", "{workers}"),
        {
            "sighup": (),
            # No less than a minute is taken.
            "lifetime": ("--workers-lifetime", "60"),
            "memory": ("--workers-max-rss", str(MEBIBYTES), "--rss-sample-interval", "1"),
            "reload": ("--reload",),
        },
        {},
    ),
    Peer(
        "gunicorn",
        "Gunicorn",
        # Its control socket has one place for all; several run at once here.
        ("-k", "asgi", "-b", "{host}:{port}", "-w", "{workers}", "--no-control-socket"),
        {
            "sighup": (),
            "upgrade": (),
            "requests": ("--max-requests", str(REQUESTS)),
            "scale": (),
            "blocked": ("--timeout", str(SECONDS)),
            "reload": ("--reload",),
        },
        {},
        # After SIGUSR2 its package `http` hides the standard one if it was started with -m.
        script=True,
    ),
    Peer(
        "daphne",
        "Daphne",
        ("-b", "{host}", "-p", "{port}", "--access-log", "/dev/null"),
        {},
        {"kill-main": "one process", "bad-deploy": "no SIGHUP"},
        workers=1,
        lifespan=False,
    ),
]
BY_NAME = {peer.name: peer for peer in PEERS}
