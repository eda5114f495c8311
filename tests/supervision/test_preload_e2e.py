"""--preload: imported once, forked, and yet each worker has a life of its own."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest
from support.load import load
from support.service import REPLACED, Service, serve

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
MEGABYTE = 1 << 20
BIG = f"BIG = b'x' * {64 * MEGABYTE}\n"


def test_the_application_is_imported_once_and_started_in_each_worker(tmp_path: Path) -> None:
    with serve(tmp_path, "--preload", workers=3) as service:
        up = service.wait_for("up", 3)
        assert service.events("imported") == [service.command.process.pid]
        assert len(set(up)) == 3
        service.stop()
        assert sorted(service.events("down")) == sorted(up)


def test_a_killed_worker_is_forked_anew(tmp_path: Path) -> None:
    with serve(tmp_path, "--preload") as service:
        victim, _ = service.wait_for("up", 2)
        os.kill(victim, signal.SIGKILL)
        service.wait_for_log(r"worker \d \(pid \d+\) serves")
        assert len(service.events("imported")) == 1
        service.stop(lost=[victim])


@pytest.mark.parametrize("keep_alive", [False, True], ids=["new connections", "keep-alive"])
def test_sighup_serves_new_code_and_fails_no_request(tmp_path: Path, keep_alive: bool) -> None:
    with (
        serve(tmp_path, "--preload") as service,
        load(service.url, keep_alive=keep_alive) as traffic,
    ):
        service.release("two")
        service.signal(signal.SIGHUP)
        service.wait_for_log(REPLACED)
        traffic.wait_for_answer("two", 50)
        assert set(traffic.answers[-20:]) == {"two"}
        traffic.stop()
        assert traffic.failures == []
        # The first program, its trial and the new one; no worker.
        imported = service.events("imported")
        assert len(imported) == 3
        assert imported[0] == imported[2] == service.command.process.pid
        service.stop()


def test_replacing_by_number_of_requests_fails_none(tmp_path: Path) -> None:
    with (
        serve(tmp_path, "--preload", "--limit-max-requests", "200") as service,
        load(service.url, keep_alive=True) as traffic,
    ):
        service.wait_for_log(" has ended", 2)
        traffic.stop()
        assert traffic.failures == []
        assert service.replaced_first("requests") >= 2
        assert len(service.events("imported")) == 1
        service.stop()


# -- what they share, and what not -----------------------------------------------------


def sockets(pid: int) -> set[str]:
    """The sockets a process has, by number."""
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(each))
        except FileNotFoundError:
            continue
        if match:
            found.add(match[1])
    return found


def listening() -> set[str]:
    """The TCP sockets that listen, by number."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return {fields[9] for fields in map(str.split, lines) if fields[3] == "0A"}


@LINUX
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["spawned", "preloaded"])
def test_a_worker_has_its_own_listening_socket_and_no_channel_of_another(
    tmp_path: Path, options: tuple[str]
) -> None:
    with serve(tmp_path, *options) as service:
        victim, _ = service.wait_for("up", 2)
        os.kill(victim, signal.SIGKILL)  # the next one starts while the other one is there
        service.wait_for_log(" serves")
        _, first, second = service.wait_for("up", 3)
        ours = [sockets(pid) for pid in (service.command.process.pid, first, second)]
        supervisor, one, other = ours
        listeners = listening() & supervisor
        assert len(listeners) == 2
        assert len(listeners & one) == len(listeners & other) == 1
        assert not one & other
        assert (one | other) & supervisor <= listeners
        service.stop(lost=[victim])


def memory(service: Service, kind: str) -> list[int]:
    """Bytes of each worker: Rss, all it sees, or Pss, with what is shared split."""
    found = []
    for pid in service.events("up"):
        told = re.search(
            rf"^{kind}:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M
        )
        assert told
        found.append(int(told[1]) * 1024)
    return found


@LINUX
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs smaps_rollup")
def test_what_was_imported_is_shared(tmp_path: Path) -> None:
    with serve(tmp_path, "--preload", more=BIG) as service:
        service.wait_for("up", 2)
        assert min(memory(service, "Rss")) > 64 * MEGABYTE
        assert max(memory(service, "Pss")) < 48 * MEGABYTE
        service.stop()
    (tmp_path / "events").unlink()
    with serve(tmp_path, more=BIG) as service:
        service.wait_for("up", 2)
        assert min(memory(service, "Pss")) > 64 * MEGABYTE
        service.stop()
