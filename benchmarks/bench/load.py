"""The load: verification, warm-up, wrk (or h2load), and the holder of idle connections."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import http2
from .process import Failed, pinned
from .servers import HOST
from .workloads import Workload

SCRIPT = Path(__file__).with_name("wrk.lua")
HOW_TO_GET = {"wrk": "apt-get install wrk", "h2load": "apt-get install nghttp2-client"}


@dataclass
class Load:
    """What the generator saw. Times in microseconds, `seconds` of wall time."""

    requests: int
    seconds: float
    p50: float | None
    p99: float | None
    errors: int
    bad_status: int
    generator_cpu: float  # share of its core, 0 to 1


def find_generator(wanted: str | None) -> str:
    """The generator to use, wrk before h2load. Raises SystemExit that says how to get one."""
    for name in [wanted] if wanted else ["wrk", "h2load"]:
        if shutil.which(name):
            return name
    hints = "\n".join(f"  {name}: {how}" for name, how in HOW_TO_GET.items())
    raise SystemExit(f"No load generator found. Install one of\n{hints}")


# What OpenSSL's clients and servers agree on, and rustls with them.
TLS = ("TLSv1.3", "TLS_AES_256_GCM_SHA384")


class Client:
    """One blocking HTTP/1.1 connection that reads whole responses and believes nothing."""

    def __init__(self, port: int, timeout: float = 10.0, tls: bool = False) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = secured(self.socket)
        self.input = b""

    def close(self) -> None:
        self.socket.close()

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send `request`, return status and body of the answer. Raises Failed or OSError."""
        self.socket.sendall(request)
        return self.answer()

    def answer(self) -> tuple[int, bytes]:
        head = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        parts = head[0].split(" ", 2)
        if len(parts) < 2 or not parts[1].isdigit():
            raise Failed(f"no status line: {head[0]!r}")
        fields = dict(line.lower().split(":", 1) for line in head[1:] if ":" in line)
        if fields.get("transfer-encoding", "").strip() == "chunked":
            return int(parts[1]), self.chunks()
        if "content-length" not in fields:
            raise Failed("answer with neither length nor chunks")
        return int(parts[1]), self.exactly(int(fields["content-length"]))

    def chunks(self) -> bytes:
        body = []
        while size := int(self.until(b"\r\n").split(b";")[0], 16):
            body.append(self.exactly(size))
            self.exactly(2)
        self.until(b"\r\n")
        return b"".join(body)

    def until(self, mark: bytes) -> bytes:
        while mark not in self.input:
            self.more()
        found, self.input = self.input.split(mark, 1)
        return found

    def exactly(self, size: int) -> bytes:
        while len(self.input) < size:
            self.more()
        found, self.input = self.input[:size], self.input[size:]
        return found

    def more(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise Failed("the connection was closed in the middle of an answer")
        self.input += data


def secured(plain: socket.socket, protocols: Sequence[str] = ()) -> ssl.SSLSocket:
    """The connection over TLS; with all servers the same. Raises Failed or OSError.

    `protocols` are offered (ALPN), the first is liked best.
    """
    context = ssl.create_default_context()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    encrypted = context.wrap_socket(plain, server_hostname=HOST)
    agreed = (encrypted.version(), (encrypted.cipher() or ("none",))[0])
    if agreed != TLS:
        raise Failed(f"agreed on {' with '.join(map(str, agreed))}, not on {' with '.join(TLS)}")
    return encrypted


def verify(workload: Workload, port: int, answer: bytes, repeat: int) -> None:
    """Ask `repeat` times and compare every answer; also the warm-up. Raises Failed."""
    try:
        if workload.http2:
            with http2.connected(workload, port) as session:
                http2.series(session, answer, repeat * workload.pipeline)
        else:
            converse(workload, port, answer, repeat)
    except TimeoutError:
        raise Failed("gave no answer within 10 s") from None
    except (OSError, ValueError) as error:
        raise Failed(f"{type(error).__name__}: {error}") from None


def converse(workload: Workload, port: int, answer: bytes, repeat: int) -> None:
    """`verify` over HTTP/1.1."""
    request = workload.request(f"{HOST}:{port}") * workload.pipeline
    client = Client(port, tls=workload.tls)
    try:
        for _ in range(repeat):
            client.socket.sendall(request)
            for _ in range(workload.pipeline):
                status, body = client.answer()
                if status != 200:
                    raise Failed(f"answered status {status}")
                if body != answer:
                    raise Failed(f"answered {len(body)} wrong bytes: {body[:40]!r}")
    finally:
        client.close()


def run_timed(command: list[str], core: int, limit: float) -> tuple[str, float, float]:
    """Run a program on `core`; its output, its CPU seconds and the wall seconds it took."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            command, stdout=output, stderr=output, preexec_fn=pinned(core), process_group=0
        )
        try:
            # wait4, not Popen.wait: the child's own CPU time is wanted.
            while not (waited := os.wait4(child.pid, os.WNOHANG))[0]:
                if time.monotonic() - begin > limit:
                    raise Failed(f"{command[0]} did not end within {limit:.0f} s")
                time.sleep(0.01)
            child.returncode = os.waitstatus_to_exitcode(waited[1])
        finally:
            if child.returncode is None:
                child.kill()
                child.wait()
        wall = time.monotonic() - begin
        output.seek(0)
        text = output.read().decode(errors="replace")
    if child.returncode:
        raise Failed(f"{command[0]} failed: {text.strip()[-200:]}")
    return text, waited[2].ru_utime + waited[2].ru_stime, wall


# With one thread, generator and server fall into step: each sleeps while the other works, and
# the wake-ups are what is measured. Several threads, still on one core, keep the server busy.
THREADS = 4


def scheme(workload: Workload) -> str:
    return "https" if workload.tls else "http"


def run_wrk(workload: Workload, port: int, seconds: int, core: int) -> Load:
    """One measurement with wrk."""
    command = ["wrk", f"-t{THREADS}", f"-c{workload.connections}", f"-d{seconds}s"]
    command += ["-s", str(SCRIPT)]
    for name, value in workload.headers:
        command += ["-H", f"{name}: {value}"]
    command += [f"{scheme(workload)}://{HOST}:{port}/", "--"]
    command += [str(workload.pipeline), str(len(workload.body))]
    text, cpu, wall = run_timed(command, core, seconds * 3 + 15)
    line = next((line for line in text.splitlines() if line.startswith("FIGURES")), None)
    if line is None:
        raise Failed(f"wrk printed no figures: {text.strip()[-200:]}")
    requests, micros, _, errors, status, timeouts, p50, p99, _ = map(int, line.split()[1:])
    if requests == 0:
        raise Failed("no request was answered under load")
    return Load(requests, micros / 1e6, p50, p99, errors + timeouts, status, cpu / wall)


def run_h2load(workload: Workload, port: int, seconds: int, core: int) -> Load:
    """One measurement with h2load: of HTTP/2, and of HTTP/1.1 where wrk is not installed.

    It does not tell latencies: for these there is `latencies`.
    """
    text, cpu, wall = h2load(workload, port, seconds, core)
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
    if found is None or found[1] == "0":
        raise Failed("no request was answered under load")
    good, failed, errors = map(int, found.groups())  # those with errors are among the failed
    check_bytes(text, good * len(workload.answer))
    return Load(good, float(seconds), None, None, errors, failed - errors, cpu / wall)


def h2load(
    workload: Workload, port: int, seconds: int, core: int, *more: str
) -> tuple[str, float, float]:
    """As `run_timed`."""
    threads = min(THREADS, workload.connections)
    command = ["h2load", f"-t{threads}", f"-c{workload.connections}", f"-D{seconds}", *more]
    command.append(f"-m{workload.pipeline}")
    command += ["--npn-list=h2", f"--tls13-ciphers={TLS[1]}"] if workload.http2 else ["--h1"]
    for name, value in workload.headers:
        command += ["-H", f"{name}: {value}"]
    with tempfile.NamedTemporaryFile() as body:
        if workload.body:
            body.write(workload.body)
            body.flush()
            command += ["-d", body.name]
        command.append(f"{scheme(workload)}://{HOST}:{port}/")
        return run_timed(command, core, seconds * 3 + 15)


def latencies(workload: Workload, port: int, core: int) -> tuple[float, float]:
    """p50 and p99 of a second of h2load, by its log of all requests.

    Writing the log costs it half as much again as its requests do, so it is kept out of the load
    that is measured.
    """
    with tempfile.NamedTemporaryFile() as log:
        h2load(workload, port, 1, core, f"--log-file={log.name}")
        took = sorted(int(line.split()[2]) for line in log.read().splitlines())
    if not took:
        raise Failed("no request was answered in a second")
    return took[(len(took) - 1) // 2], took[int((len(took) - 1) * 0.99)]


def check_bytes(text: str, least: int) -> None:
    """The bodies h2load saw, which it does not look into, must be as long as the right ones."""
    found = re.search(r"\((\d+)\) data$", text, re.MULTILINE)
    if found is None or int(found[1]) < least:
        raise Failed(f"answered {found[1] if found else 'no'} bytes in place of {least}")


GENERATORS = {"wrk": run_wrk, "h2load": run_h2load}


def hold_idle(workload: Workload, port: int, answer: bytes) -> list[Client]:
    """Open every connection, make one request on each and keep it. Raises Failed."""
    request = workload.request(f"{HOST}:{port}")
    clients: list[Client] = []
    try:
        for _ in range(workload.connections):
            clients.append(Client(port, tls=workload.tls))
            if clients[-1].ask(request) != (200, answer):
                raise Failed(f"wrong answer on connection {len(clients)}")
    except BaseException as error:
        release(clients)
        if isinstance(error, OSError):
            raise Failed(f"connection {len(clients) + 1}: {error}") from None
        raise
    return clients


def still_open(clients: list[Client]) -> int:
    """How many of the connections the server has not closed."""
    count = 0
    for client in clients:
        client.socket.setblocking(False)
        try:
            count += client.socket.recv(1) != b""
        except BlockingIOError:
            count += 1
        except OSError:
            pass
    return count


def release(clients: list[Client]) -> None:
    for client in clients:
        client.close()
