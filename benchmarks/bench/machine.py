"""What the figures were taken on: processor, kernel, Python, packages."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import timeit
from pathlib import Path

from .servers import SERVERS

LIBRARIES = (
    *("uvloop", "httptools", "h11", "websockets", "wsproto", "autobahn", "asgiref", "starlette"),
    *("fastapi", "pydantic", "twisted"),
)


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def versions() -> dict[str, str]:
    """Versions of the servers and of the libraries that carry them."""
    found: dict[str, str] = {}
    names = [server.package for server in SERVERS if server.package and not server.limit]
    for name in [*names, *LIBRARIES]:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def interpreter_ns() -> int:
    """Nanoseconds of a fixed piece of pure Python, best of five.

    The same version built without profile-guided optimisation takes a fifth longer or more, which
    flatters whatever does little in Python; so the figure stands beside the results.
    """
    code = "d = {'a': 1}; [x for x in range(20)]; d.copy()"
    return round(min(timeit.repeat(code, number=20_000, repeat=5)) / 20_000 * 1e9)


def first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    return ((done.stdout or done.stderr).splitlines() or ["unknown"])[0].strip()


def describe(tools: dict[str, list[str]]) -> dict[str, object]:
    """Everything a reader needs to judge the figures; `tools` maps a name to its version call."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "interpreter_ns": interpreter_ns(),
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "packages": versions(),
        "tools": {name: first_line(command) for name, command in tools.items()},
        "command": "python " + " ".join(Path(word).name for word in sys.argv),
    }


def sentence(machine: dict[str, object]) -> str:
    """The machine in one line, for under a table."""
    packages = machine["packages"]
    names = [server.package for server in SERVERS if server.package and not server.limit]
    listed = ", ".join(f"{name} {packages[name]}" for name in names)
    return (
        f"{machine['date']}; {machine['processor']}, {machine['cores']} cores; "
        f"{machine['kernel']}; {machine['python']} ({machine['interpreter_ns']} ns "
        f"for the reference loop); uvloop {packages['uvloop']}, "
        f"httptools {packages['httptools']}; {listed}."
    )
