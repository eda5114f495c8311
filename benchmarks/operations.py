"""Do to fastserve and its peers what nights do to servers, for real and with load running.

    python benchmarks/operations.py                                  everything, about ten minutes
    python benchmarks/operations.py --only sighup,drain --servers fastserve,uvicorn

Writes operations.json and operations.md. docs/operations.md explains them. A part of a run is only
shown, unless --output says where to write it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bench import machine
from bench.arguments import names
from bench.process import raise_file_limit
from bench.servers import ROOT
from operations import report
from operations.peers import BY_NAME as PEERS
from operations.peers import version
from operations.scenarios import BY_NAME as SCENARIOS
from operations.scenarios import Scenario, cell

AT_ONCE = 4  # scenarios that mostly wait


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = ",".join(SCENARIOS)
    parser.add_argument("--only", type=names(SCENARIOS), default=every, help=f"any of {every}")
    parser.add_argument("--servers", type=names(PEERS), default=",".join(PEERS))
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the servers")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: benchmarks/results")
    parser.add_argument(
        "--report", type=Path, metavar="JSON", help="write the report of this again"
    )
    return parser.parse_args()


async def run(options: argparse.Namespace, versions: dict[str, str | None]) -> list[report.Cell]:
    """All cells: first, one by one, those whose load should have the machine to itself."""
    cells: list[report.Cell] = []
    room = asyncio.Semaphore(AT_ONCE)

    async def one(scenario: Scenario, server: str) -> None:
        async with room if scenario.pooled else asyncio.Lock():
            installed = versions[server] is not None
            done = await cell(scenario, PEERS[server], options.python, installed)
        cells.append(done)
        said = report.short(done).replace("<br>", "; ")
        print(f"{scenario.name:15} {server:10} {said}", flush=True)

    scenarios = [SCENARIOS[name] for name in options.only]
    for scenario in scenarios:
        for server in options.servers:
            if not scenario.pooled:
                await one(scenario, server)
    async with asyncio.TaskGroup() as group:
        for scenario in scenarios:
            for server in options.servers:
                if scenario.pooled:
                    group.create_task(one(scenario, server))
    return cells


def write(result: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (folder / "operations.json").write_text(text + "\n")
    (folder / "operations.md").write_text(report.markdown(result))
    print(f"\nwritten: operations.json and operations.md in {folder}")


def main() -> None:
    options = arguments()
    usual = ROOT / "results"
    if options.report:
        write(json.loads(options.report.read_text()), options.output or usual)
        return
    raise_file_limit()
    # asyncio warns of writes to connections that servers have cut, which is what happens here.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    # Being terminated must end the servers as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    versions = {name: version(name, options.python) for name in options.servers}
    described = machine.describe({})
    try:
        cells = asyncio.run(run(options, versions))
    except KeyboardInterrupt:
        sys.exit("interrupted; every server was ended, nothing was written")
    described["seconds"] = round(time.monotonic() - begun)
    result = {"machine": described, "versions": versions, "cells": cells}
    whole = options.only == list(SCENARIOS) and options.servers == list(PEERS)
    if whole or options.output:
        write(result, options.output or usual)


if __name__ == "__main__":
    main()
