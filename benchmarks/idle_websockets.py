"""Memory of open WebSockets that say nothing: before, and after one message each.

    python benchmarks/idle_websockets.py
    python benchmarks/idle_websockets.py --count 5000 --servers fastserve

Prints a Markdown table. Bytes per socket are what the server's resident size grew by, so they
hold the server's and the application's objects, but not the kernel's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from bench import process, websocket
from bench.arguments import names
from bench.measure import GENERATOR_CORE, SERVER_CORE, SETTLE
from bench.process import Failed, Running
from bench.servers import APPS, Unavailable
from bench.servers import BY_NAME as SERVERS
from bench.workloads import Workload, echoing

USUAL_SERVERS = "fastserve,uvicorn,uvloop_ws_echo"
MODES = {
    "plain": Workload("idle", "no extension", **echoing(1 << 10, text=True)),
    "deflate": Workload(
        "idle-deflate", "deflate agreed", **echoing(1 << 10, text=True, deflate=True)
    ),
}
SPARE_FILES = 200


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", type=names(SERVERS), default=USUAL_SERVERS)
    parser.add_argument("--modes", type=names(MODES), default=",".join(MODES))
    parser.add_argument("--count", type=int, default=10_000, help="WebSockets")
    return parser.parse_args()


def measure(server: str, mode: Workload, count: int) -> tuple[float, float]:
    """Bytes per socket once all are open, and once each has echoed one message of 1 KiB.

    Raises Failed or Unavailable.
    """
    port = process.free_port()
    with tempfile.TemporaryDirectory(prefix="fastserve-bench-") as folder:
        log = Path(folder, "log")
        command = SERVERS[server].command(mode.profile, port, mode.app)
        with Running(command, port, SERVER_CORE, log, APPS) as running:
            running.wait_ready()
            websocket.verify(mode, port, GENERATOR_CORE, 200)
            empty = resident(running)
            with websocket.connected(
                mode, port, GENERATOR_CORE, connections=count, most=count
            ) as client:
                still = resident(running)
                seen = client.run()
                if seen["messages"] != count or seen["errors"]:
                    raise Failed(f"{seen['messages']:.0f} of {count} messages came back")
                used = resident(running)
    return (still - empty) * 1024 / count, (used - empty) * 1024 / count


def resident(running: Running) -> int:
    """KiB, once the server has had time to come to rest."""
    time.sleep(SETTLE)
    running.check_alive()
    return running.rss()


def main() -> None:
    options = arguments()
    process.adopt_orphans()
    room = process.raise_file_limit() - SPARE_FILES
    count = min(options.count, room)
    if count < options.count:
        print(f"the limit of open files leaves room for {count} sockets")
    print(f"| {count:,} sockets | idle | after one message each |\n|---|---|---|")
    for mode in options.modes:
        for server in options.servers:
            name = f"| {SERVERS[server].label}, {MODES[mode].title} "
            try:
                still, used = measure(server, MODES[mode], count)
            except (Failed, Unavailable) as reason:
                print(f"{name}| {reason} | |", flush=True)
                continue
            print(f"{name}| {still:,.0f} | {used:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
