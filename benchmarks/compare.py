"""Compare fastserve with other ASGI servers, side by side on this machine.

    python benchmarks/compare.py                 everything, five rounds
    python benchmarks/compare.py --quick         one short round, to see that it works
    python benchmarks/compare.py --servers fastserve,uvicorn --workloads hello,post1k
    python benchmarks/compare.py --websocket     the WebSocket workloads
    python benchmarks/compare.py --http2         those over HTTP/2

Writes compare.json, compare.md and compare.svg, or the same called websocket or http2.
See benchmarks/README.md for the method.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from bench import load, machine, measure, plot, process, report, websocket
from bench.arguments import names, subject_of
from bench.awake import awake
from bench.servers import BY_NAME as SERVERS
from bench.servers import ROOT, Unavailable
from bench.workloads import BY_NAME as WORKLOADS

TOOLS = {"wrk": ["wrk", "-v"], "h2load": ["h2load", "--version"], "gcc": ["gcc", "--version"]}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", type=names(SERVERS), default=",".join(SERVERS))
    parser.add_argument("--workloads", type=names(WORKLOADS), help=f"any of {', '.join(WORKLOADS)}")
    parser.add_argument(
        "--websocket",
        dest="subject",
        action="store_const",
        const="websocket",
        default="compare",
        help="the WebSocket workloads",
    )
    parser.add_argument(
        "--http2", dest="subject", action="store_const", const="http2", help="those over HTTP/2"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=int, default=2, help="seconds of load per cell")
    parser.add_argument("--quick", action="store_true", help="one round of one second")
    parser.add_argument("--generator", choices=sorted(load.GENERATORS), help="default: wrk")
    parser.add_argument("--output", type=Path, default=ROOT / "results", metavar="DIR")
    parser.add_argument(
        "--report", type=Path, metavar="JSON", help="measure nothing; write the report of this file"
    )
    options = parser.parse_args()
    if options.workloads is None:
        options.workloads = usual(options.subject)
    options.subject = subject_of(parser, options.workloads)
    return options


def usual(subject: str) -> list[str]:
    """The workloads of a whole run."""
    every = WORKLOADS.values()
    return [work.name for work in every if work.default and work.subject == subject]


def check_machine() -> None:
    """Leave, with the reason, where pinning to two cores cannot work."""
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("compare.py needs Linux: it pins processes to cores and reads /proc.")
    if not {measure.SERVER_CORE, measure.GENERATOR_CORE} <= os.sched_getaffinity(0):
        sys.exit("compare.py needs cores 0 and 1, one for the server, one for the generator.")


def plan_of(options: argparse.Namespace) -> measure.Plan:
    if options.quick:
        options.rounds, options.duration = 1, 1
    servers = [SERVERS[name] for name in options.servers]
    for server in servers:
        try:
            server.command("plain", 0, "app")
        except Unavailable as reason:
            print(f"{server.label}: missing, {reason}")
    return measure.Plan(
        servers=servers,
        workloads=[WORKLOADS[name] for name in options.workloads],
        rounds=options.rounds,
        seconds=options.duration,
        generator=generator(options.subject, options.generator),
        say=lambda line: print(line, flush=True),
    )


def generator(subject: str, wanted: str | None) -> str:
    """What loads the servers: only one can do WebSockets, and only one HTTP/2."""
    if subject == "websocket":
        return wsload()
    return load.find_generator("h2load" if subject == "http2" else wanted)


def wsload() -> str:
    """The name of the WebSocket client. Raises SystemExit that says why it cannot be had."""
    try:
        websocket.client()
    except Unavailable as reason:
        sys.exit(f"No WebSocket load: {reason}")
    return "wsload"


def write(result: dict[str, object], folder: Path) -> None:
    """A .json, .md and .svg in `folder`, from one result, named for what was compared."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = report.summarise(result["cells"])
    stem = WORKLOADS[rows[0].workload].subject
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (folder / f"{stem}.json").write_text(text)
    (folder / f"{stem}.md").write_text(report.markdown(rows, result["machine"]))
    drawn = plot.draw(rows, folder / f"{stem}.svg", machine.sentence(result["machine"]))
    print("\n" + report.summary_table(rows).replace("<br>", " "))
    print(f"\nwritten: {stem}.json, {stem}.md{f', {stem}.svg' if drawn else ''} in {folder}")
    if not drawn:
        print("no plot: matplotlib is not installed, or nothing was measured")


def main() -> None:
    options = arguments()
    if options.report:
        write(json.loads(options.report.read_text()), options.output)
        return
    check_machine()
    process.adopt_orphans()
    limit = process.raise_file_limit()
    if limit < 5200 and "idle5000" in options.workloads:
        print(f"idle5000 needs 5,200 open files, the hard limit is {limit}: raise `ulimit -Hn`")
    # Being terminated must end the servers as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plan = plan_of(options)
    # This program itself belongs on the generator's core.
    os.sched_setaffinity(0, {measure.GENERATOR_CORE})
    described = machine.describe(TOOLS)
    described |= {"seconds": plan.seconds, "rounds": plan.rounds, "generator": plan.generator}
    cells: list[dict[str, object]] = []
    try:
        with awake([measure.SERVER_CORE, measure.GENERATOR_CORE]) as kept:
            described["cores_kept_awake"] = kept
            cells = measure.run(plan)
    except KeyboardInterrupt:
        sys.exit("interrupted; every server was ended, nothing was written")
    write({"machine": described, "cells": cells}, options.output)


if __name__ == "__main__":
    main()
