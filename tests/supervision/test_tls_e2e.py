"""Workers with certificates: plain and secure places, renewal, replacement, failures."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx
from support.certificates import Authority, replace
from support.load import load
from support.process import finished
from support.service import REPLACED, Service, serve

HOST = "127.0.0.1"

# What a worker would wait for is made short; the application can see what it is asked over.
MORE = """
import fastserve.tls
fastserve.tls.INTERVAL = 0.02

@route
async def connection(scope, receive, send):
    await answer(send, scope["scheme"] + " " + str("tls" in scope["extensions"]))

def make(config, default):
    context = default()
    context.set_alpn_protocols(["by-hand"])
    return context
"""
PLACES = ("--bind", f"{HOST}:0", "--insecure-bind", f"{HOST}:0")


def options(authority: Authority) -> list[str]:
    return [
        f"--{name.replace('_', '-')}={value}"
        for name, value in authority.issue(HOST).options.items()
    ]


def urls(service: Service) -> tuple[str, str]:
    told = service.wait_for_log(r"fastserve \S+ on (https://\S+), (http://\S+) \(2 workers\)")
    return told[1], told[2]


def test_which_places_are_plain_stays_known_while_programs_are_replaced(
    tmp_path: Path, authority: Authority
) -> None:
    context = authority.client_context()
    with serve(tmp_path, *options(authority), more=MORE, places=PLACES) as service:
        secure, plain = urls(service)

        def assert_known() -> None:
            for _ in range(4):
                over_tls = httpx.get(f"{secure}/connection", verify=context).text
                over_none = httpx.get(f"{plain}/connection").text
                assert (over_tls, over_none) == ("https True", "http False")

        assert_known()
        with (
            load(secure, clients=2, context=context) as encrypted,
            load(plain, clients=1) as readable,
        ):
            service.signal(signal.SIGUSR2)
            service.wait_for_log(REPLACED)
            service.signal(signal.SIGTTIN)
            service.wait_for_log("worker 3 .* serves")
            encrypted.wait_for(5)
            readable.wait_for(5)
        assert encrypted.failures == readable.failures == []
        assert_known()
        service.stop()


def test_every_worker_takes_a_new_certificate_and_keeps_it_from_a_broken_one(
    tmp_path: Path, authority: Authority
) -> None:
    context = authority.client_context()
    with serve(tmp_path, *options(authority), more=MORE) as service:
        with load(service.url, clients=2, keep_alive=True, context=context) as traffic:
            authority.issue(HOST, "new.example")
            service.wait_for_log(r"certificates reloaded: new.example \(until", 2)
            replace(tmp_path / "server.key", b"")
            service.wait_for_log("there is no PEM private key in .*; the certificates stay", 2)
            traffic.wait_for(10)
            service.signal(signal.SIGHUP)
            service.wait_for_log("the new worker 1 cannot start, .* there is no PEM private key")
            traffic.wait_for(10)
        assert traffic.failures == []
        service.stop()


def test_a_factory_is_imported_by_every_worker(tmp_path: Path, authority: Authority) -> None:
    named = [*options(authority), "--ssl-context-factory", "main:make"]
    context = authority.client_context()
    context.set_alpn_protocols(["by-hand"])
    with serve(tmp_path, *named, more=MORE) as service:
        split = httpx.URL(service.url)
        for _ in range(4):
            with (
                socket.create_connection((split.host, split.port or 443), 10) as plain,
                context.wrap_socket(plain, server_hostname=split.host) as secured,
            ):
                assert secured.selected_alpn_protocol() == "by-hand"
        service.stop()


def test_what_cannot_be_loaded_keeps_all_from_starting(
    tmp_path: Path, authority: Authority
) -> None:
    (tmp_path / "main.py").write_text("async def app(scope, receive, send): ...\n")
    issued = authority.issue(HOST, password="hunter2")
    command = ["main:app", "--port=0", f"--ssl-certfile={issued.certfile}"]
    command += [f"--ssl-keyfile={issued.keyfile}", "--ssl-keyfile-password=wrong"]
    for workers in ([], ["--workers=2"]):
        status, told = finished([*command, *workers], tmp_path)
        assert status == (3 if workers else 2)
        assert told.endswith(
            f"fastserve: --ssl-keyfile-password: not the password of {issued.keyfile}\n"
        )
        assert "wrong" not in told
        assert "hunter2" not in told
