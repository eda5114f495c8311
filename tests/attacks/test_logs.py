"""Those who write into the logs what was not there, or more than there is room for."""

from __future__ import annotations

import json
import re
import resource
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.client import Client, request
from support.proxies import line
from support.victim import victim

# What ends a line, a value or an escape, what a terminal obeys, and what looks like a line.
LINES = '127.0.0.1 - - [21/Nov/2026:00:00:00 +0000] "GET /admin HTTP/1.1" 200 1 "-" "-"'
EVIL = [
    '" 200 0 0.1ms forged',
    "\\",
    '\\" 200 forged',
    "\\x0a forged",
    "\\n forged",
    "%0d%0aforged",
    "status=200 path=forged",
    '","path":"forged","x":"',
    "{client} {status} %s %(message)s",
    "\xff\xfe\x80",
    "\xe2\x80\xa8\xc2\x85forged",
    "\x9b31m",
    LINES,
]
FIELD_ONLY = ["\tforged", "a\t" * 1000]
FORMATS = {
    "default": r'[-\d]+ [:\d]+ \S+ "[^"]*" \d{3} \d+ [\d.]+ms',
    "combined": r'\S+ - - \[[^]]+\] "[^"]*" \d{3} \d+ "[^"]*" "[^"]*"',
    "json": None,
    "logfmt": None,
    '{client} "{path}" "{user_agent}" {request_id} {status}': (r'\S+ "[^"]*" "[^"]*" \S+ \d{3}'),
}
REFUSED = [
    b"GET / HTTP/1.1\r\nHost: test\r\nX: a\rb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: test\r\nX: a\x00b\r\n\r\n",
    b"GET /\x1b[31m HTTP/1.1\r\nHost: test\r\n\r\n",
    b"GET /\nforged HTTP/1.1\r\nHost: test\r\n\r\n",
    b"FORGED\x0b / HTTP/1.1\r\nHost: test\r\n\r\n",
]


def attack(address: Any, prelude: bytes) -> list[int]:
    """Ask for what crashes or is refused, with all that is evil; the statuses."""
    fields = "User-Agent", "Referer", "X-Request-ID", "X-Any", "X-Forwarded-For", "Cookie"
    asked = [request("GET", "/crash?" + evil.replace(" ", "+")) for evil in EVIL]
    asked += [
        request("GET", "/crash", *(f"{name}: {evil}" for name in fields))
        for evil in EVIL + FIELD_ONLY
    ]
    statuses = []
    for each in asked + REFUSED:
        with Client(address) as client:
            client.send(prelude + each)
            statuses.append(client.response().status)
    assert statuses[len(EVIL) :] == [500] * len(EVIL + FIELD_ONLY) + [400] * len(REFUSED)
    assert {400, 500} >= set(statuses)
    return statuses


@pytest.mark.parametrize("name", FORMATS)
def test_no_line_can_be_forged(tmp_path: Path, name: str) -> None:
    prelude = line("192.0.2.1", 5555, "192.0.2.2", 80)
    options = ("--access-log-format", name, "--request-id", "--proxy-protocol")
    options += ("--access-log-skip", "/account", "--access-log-skip", "/")
    # The proxy is trusted; the fields that come through it are its client's.
    options += ("--forwarded-allow-ips", "127.0.0.1", "--log-level", "debug")
    how: dict[str, Any] = {"log_file": "log", "announced": ["Exception in ASGI"]}
    with victim(tmp_path, *options, prelude=prelude, **how) as server:
        statuses = attack(server.address, prelude)
    lines = server.access.splitlines(keepends=True)
    assert re.search(r"[^\n\x20-\x7e]", server.access) is None
    assert len(lines) == len(statuses)
    for each in lines:
        assert_whole(each.rstrip("\n"), name)
    assert_messages(server.log, name, statuses.count(500))


def assert_whole(text: str, name: str) -> None:
    pattern = FORMATS[name]
    if pattern is not None:
        assert re.fullmatch(pattern, text), text
    elif name == "json":
        facts = json.loads(text)
        assert facts["status"] in (400, 500)
        assert facts["path"] in ("/crash", "-")
    else:
        facts = dict(each.split("=", 1) for each in shlex.split(text))
        assert facts["status"] in ("400", "500")
        assert facts["path"] in ("/crash", "-")


def assert_messages(log: str, name: str, crashes: int) -> None:
    """Messages tell of the requests too."""
    assert re.search(r"[^\n\t\x20-\x7e]", log) is None
    if name in ("json", "logfmt"):
        heads = [each for each in log.splitlines() if "Exception in ASGI" in each]
        assert all(each.startswith(("{", "time=")) for each in log.splitlines())
    else:
        heads = re.findall(r"^[-\d]+ [:\d]+ ERROR .*", log, re.MULTILINE)
    assert len(heads) == crashes


def test_what_an_application_says_of_a_path_forges_no_message(tmp_path: Path) -> None:
    forged = "2026-11-21 00:00:00 ERROR    forged"
    path = "/blame/%0A" + forged.replace(" ", "%20") + "%0D%1B%5B31m%E2%80%A8"
    with victim(tmp_path, announced=["Exception in ASGI"]) as server:
        server.speak().send(request("GET", path))
        assert server.attackers[0].response().status == 500
    assert "forged" in server.log
    assert re.findall(r"^\S+ \S+ ERROR +forged", server.log, re.MULTILINE) == []
    assert re.search(r"[\r\x1b\u2028]", server.log) is None


# -- a disk that is full ---------------------------------------------------------------

ROOM = 40_000
BECOME = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({ROOM}, resource.RLIM_INFINITY))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux lets us make room again")
def test_a_disk_that_is_full_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    announced = ["Exception in ASGI", r"\d+ messages dropped"]
    how: dict[str, Any] = {"log_file": "log", "announced": announced, "launcher": ("-c", BECOME)}
    with victim(tmp_path, **how) as server:
        with Client(server.address) as client:
            for _ in range(200):
                assert client.get("/?" + "x" * 1000).status == 200
        for _ in range(100):
            with Client(server.address) as client:
                assert client.get("/crash?" + "x" * 1000).status == 500
        server.serves()
        assert (tmp_path / "access").stat().st_size <= ROOM
        assert (tmp_path / "log").stat().st_size <= ROOM
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(server.command.process.pid, resource.RLIMIT_FSIZE, unlimited)
        server.serves()
        with Client(server.address) as client:
            assert client.get("/crash").status == 500
    asked = sum(len(each.answers) for each in server.load)
    access = server.access.splitlines()
    dropped = sum(map(int, re.findall(r"\((\d+) access lines dropped\)", server.access)))
    whole = [each for each in access if re.fullmatch(FORMATS["default"] or "", each)]
    assert dropped > 0
    assert len(whole) + dropped >= asked + 200 + 100 + 1
    messages = (tmp_path / "log").read_text()
    assert re.search(r"messages dropped", messages)
    assert "GET /crash)" in messages
