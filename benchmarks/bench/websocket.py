"""WebSocket load: the messages of a workload, and wsload, the C client that sends them."""

from __future__ import annotations

import contextlib
import json
import random
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from .load import Load
from .process import Failed, pinned
from .servers import Unavailable, build
from .workloads import Workload

SOURCE = Path(__file__).with_name("wsload")
DECLINED = 3  # wsload's exit status where a server has no permessage-deflate
PUBLISH = "/publish"
# Different messages, so that no server's compression context has seen the next one: 64 of 1 KiB
# fill twice the largest window. A few are enough where a message is larger than the window.
VARIETY, VARIETY_BYTES = 64, 4 << 20

NAMES = ("ada", "Zoë", "björn", "chidi", "mariam", "陳", "olu", "Priya", "søren", "tomás")
PROSE = (
    "the build is green again thanks for looking into it could you review my change before "
    "lunch I think we should move the meeting to three because the report about latency in the "
    "west region is not ready yet and nobody knows why cache misses went up on Tuesday naïve"
)
WORDS = PROSE.split()


def chat(size: int, random: random.Random) -> bytes:
    """`size` bytes of text as a chat or a feed sends it: JSON with names, times and sentences."""
    if size < 128:
        head = f'{{"id":{random.randrange(10**6)},"t":{random.randrange(10**9)},"text":"'
        said = " ".join(random.choices(WORDS[:-1], k=size))
        return (head + said)[: size - 2].encode() + b'"}'
    lines: list[str] = []
    while sum(map(len, lines)) < size:
        line = {
            "id": random.randrange(10**9),
            "room": f"room-{random.randrange(100)}",
            "user": {"name": random.choice(NAMES), "key": f"{random.getrandbits(64):016x}"},
            "at": f"2026-11-{random.randrange(1, 31):02}T{random.randrange(24):02}:17:05.120Z",
            "text": " ".join(random.choices(WORDS, k=random.randrange(6, 30))),
            "read": random.random() < 0.5,
        }
        lines.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")))
    cut = ("[" + ",".join(lines)).encode()[: size - 1].decode(errors="ignore").encode()
    return cut.ljust(size - 1) + b"]"


def messages(workload: Workload) -> list[bytes]:
    """The contents that are sent in turn, the same in every run."""
    source = random.Random(workload.size)
    count = max(4, min(VARIETY, VARIETY_BYTES // workload.size))
    make = chat if workload.text else lambda size, source: source.randbytes(size)
    return [make(workload.size, source) for _ in range(count)]


def deflated(content: bytes) -> bytes:
    """One message as a client without context takeover sends it, RFC 7692 section 7.2.1."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def pool(workload: Workload) -> bytes:
    """The messages as wsload reads them; bench/wsload/pool.h has the format."""
    contents = messages(workload)
    parts = [struct.pack("<I", len(contents))]
    for content in contents:
        packed = deflated(content) if workload.deflate else b""
        parts += [struct.pack("<II", len(content), len(packed)), content, packed]
    return b"".join(parts)


def client() -> Path:
    """wsload, compiled; without zlib's header it cannot compare compressed echoes."""
    try:
        return build("wsload", SOURCE, ("-DWITH_ZLIB", "-lz"))
    except Unavailable:
        return build("wsload", SOURCE)


class Client:
    """A wsload whose connections are open: `run` is the load alone. A context manager.

    Raises Failed if the server does not answer as it must, Unavailable if it has no
    permessage-deflate.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        if self.process.stdout.readline() != "ready\n":
            self.give_up()

    def run(self) -> dict[str, float]:
        """Begin, and wait for the figures; the connections stay open until this is left."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.give_up()
        return json.loads(line)

    def give_up(self) -> None:
        _, said = self.process.communicate()
        reason = said.strip().splitlines()[-1] if said.strip() else "wsload failed"
        raise Unavailable(reason) if self.process.returncode == DECLINED else Failed(reason)


@contextlib.contextmanager
def connected(
    workload: Workload,
    port: int,
    core: int,
    *,
    connections: int | None = None,
    seconds: float = 60.0,
    most: int | None = None,
    check_every: int = 100,
) -> Iterator[Client]:
    """All connections of a workload, or `connections` of them, opened from `core`.

    The load ends after `seconds` or when `most` messages were sent and came back; `check_every`
    is how often the content of one is compared.
    """
    command = [str(client()), "-c", str(connections or workload.connections), "-t", str(seconds)]
    command += ["-d", str(workload.pipeline), "-k", str(check_every)]
    if most:
        command += ["-n", str(most)]
    if workload.text:
        command.append("-x")
    if workload.deflate:
        command.append("-z")
    if workload.kind == "broadcast":
        command += ["-b", PUBLISH]
    with tempfile.NamedTemporaryFile(prefix="fastserve-pool-") as file:
        file.write(pool(workload))
        file.flush()
        with subprocess.Popen(
            [*command, str(port), "/", file.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=pinned(core),
        ) as process:
            try:
                yield Client(process)
                process.communicate()
            finally:
                process.kill()


def verify(workload: Workload, port: int, core: int, count: int) -> None:
    """Send `count` messages and compare every answer; also the warm-up. Raises Failed."""
    few = 4 if workload.kind == "broadcast" else 1
    with connected(workload, port, core, connections=few, most=count, check_every=1) as client:
        seen = client.run()
        wanted = count * few if workload.kind == "broadcast" else count
        if seen["messages"] != wanted:
            raise Failed(f"{seen['messages']:.0f} of {wanted} messages came back")


def load_of(seen: dict[str, float]) -> Load:
    """wsload's figures in the words of all generators. Raises Failed."""
    if seen["errors"]:
        raise Failed(f"the server closed {seen['errors']:.0f} connections")
    if not seen["messages"]:
        raise Failed(f"no message came back within {seen['seconds']:.0f} s of load")
    return Load(
        requests=int(seen["messages"]),
        seconds=seen["seconds"],
        p50=seen["p50_us"],
        p99=seen["p99_us"],
        errors=0,
        bad_status=0,
        generator_cpu=seen["cpu_seconds"] / seen["seconds"],
    )
