"""A server with certificates, as its operators and clients see it, in one process."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.apps import answer
from support.certificates import Authority, Certificate, replace
from support.handshake import jo
from support.load import load
from support.logs import LogRecords
from support.process import eventually

from fastserve import Config, Server, testing, tls

HOST = "127.0.0.1"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers what it knows of the connection, as JSON."""
    if scope["type"] != "http":
        raise NotImplementedError
    told = {"scheme": scope["scheme"], "path": scope["path"], "server": scope["server"]}
    await answer(send, json.dumps(told | {"tls": scope["extensions"].get("tls")}).encode())


@contextmanager
def serving(*certificates: Certificate, **options: Any) -> Iterator[testing.RunningServer]:
    files = {
        "ssl_certfile": [each.certfile for each in certificates],
        "ssl_keyfile": [each.keyfile for each in certificates],
    }
    with testing.serve(app, **files, **options) as server:
        yield server


def get(url: str, context: ssl.SSLContext, **options: Any) -> dict[str, Any]:
    with httpx.Client(verify=context) as client:
        reply = client.get(url, **options)
    assert reply.status_code == 200, reply.text
    return reply.json()  # type: ignore[no-any-return]


def serial(server: testing.RunningServer, context: ssl.SSLContext) -> str:
    """The number of the certificate that a new connection gets."""
    with (
        socket.create_connection((server.host, server.port), 10) as plain,
        context.wrap_socket(plain, server_hostname=server.host) as secured,
    ):
        return str((secured.getpeercert() or {})["serialNumber"])


def renewed(server: testing.RunningServer, context: ssl.SSLContext, seen: list[str]) -> bool:
    """Whether there is a certificate that is not among those `seen`; then it is."""
    seen.append(serial(server, context))
    return seen[-1] not in seen[:-1]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_application_sees_the_clients_certificate(authority: Authority, loop: str) -> None:
    mine = jo(authority)
    options = {"ssl_ca_certs": authority.cafile, "ssl_cert_reqs": "required", "loop": loop}
    with serving(authority.issue(HOST), **options) as server:
        assert server.url == f"https://{HOST}:{server.port}"
        seen = get(server.url + "/x", authority.client_context(mine))
        assert (seen["scheme"], seen["path"]) == ("https", "/x")
        assert seen["tls"]["client_cert_name"] == r"CN=jo,O=Example\, Inc."
        assert seen["tls"]["client_cert_chain"][0] == Path(mine.certfile).read_text()
        assert (seen["tls"]["tls_version"], seen["tls"]["cipher_suite"]) == (0x0304, 0x1302)
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError, ssl.SSLError)):
            get(server.url, authority.client_context())


def test_plain_and_secure_are_served_side_by_side(authority: Authority) -> None:
    options = {"insecure_bind": f"{HOST}:0", "ssl_cert_reqs": 1, "ssl_ca_certs": authority.cafile}
    with serving(authority.issue(HOST), **options) as server:
        secure, plain = server.server.urls
        assert (secure[:8], plain[:7]) == ("https://", "http://")
        context = authority.client_context()
        assert get(secure, context)["tls"]["client_cert_chain"] == []
        seen = get(plain, context)
        assert (seen["scheme"], seen["tls"]) == ("http", None)
        with pytest.raises(httpx.HTTPError):
            get(plain.replace("http", "https"), context)
        assert httpx.get(secure.replace("https", "http")).status_code == 400
        assert get(secure, context)["scheme"] == "https"


def test_plain_requests_are_sent_to_https(authority: Authority) -> None:
    options = {"insecure_bind": f"{HOST}:0", "redirect_insecure": True}
    with serving(authority.issue(HOST), **options) as server:
        plain = server.server.urls[1]
        reply = httpx.get(plain + "/a%2Fb?c=d")
        assert reply.status_code == 308
        assert reply.headers["location"] == f"{server.url}/a%2Fb?c=d"
        seen = get(plain + "/x", authority.client_context(), follow_redirects=True)
        assert (seen["scheme"], seen["path"]) == ("https", "/x")


def test_a_unix_socket_can_have_tls(authority: Authority) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        path = f"{directory}/s"
        with serving(authority.issue("localhost"), uds=path) as server:
            assert server.url == "https://localhost"
            transport = httpx.HTTPTransport(uds=path, verify=authority.client_context())
            with httpx.Client(transport=transport) as client:
                assert client.get(server.url).json()["scheme"] == "https"


def test_names_choose_among_certificates(authority: Authority) -> None:
    issued = [authority.issue(f"{name}.example", file=name) for name in ("a", "b")]
    with serving(*issued) as server:
        for each, name in zip(issued, ("a.example", "b.example"), strict=True):
            extensions = {"sni_hostname": name}
            seen = get(server.url, authority.client_context(), extensions=extensions)
            assert Path(each.certfile).read_text().startswith(seen["tls"]["server_cert"])


@pytest.mark.parametrize("keep_alive", [False, True], ids=["new connections", "keep-alive"])
def test_a_new_certificate_under_load_fails_no_request(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, logs: LogRecords, keep_alive: bool
) -> None:
    monkeypatch.setattr(tls, "INTERVAL", 0.01)
    context = authority.client_context()
    with serving(authority.issue(HOST)) as server:
        seen = [serial(server, context)]
        with load(server.url, clients=2, keep_alive=keep_alive, context=context) as traffic:
            for _ in range(3):
                authority.issue(HOST)
                eventually(lambda: renewed(server, context, seen))
                traffic.wait_for(5)
            replace(authority.directory / "server.pem", b"broken")
            eventually(lambda: "the certificates stay as they are" in str(logs.noise))
            traffic.wait_for(5)
        assert traffic.failures == []
        assert serial(server, context) == seen[-1]
    assert len(logs.noise) == 1


def test_bound_sockets_that_are_handed_in_may_be_plain(authority: Authority) -> None:
    async def main() -> None:
        bound = [socket.create_server((HOST, 0)) for _ in range(2)]
        ports = [each.getsockname()[1] for each in bound]
        server = Server(Config(app, **authority.issue(HOST).options, access_log=False))
        task = asyncio.ensure_future(server.serve(bound, insecure=bound[:1]))
        await server.wait_started()
        assert server.urls == [f"http://{HOST}:{ports[0]}", f"https://{HOST}:{ports[1]}"]
        async with httpx.AsyncClient(verify=authority.client_context()) as client:
            for url in server.urls:
                assert (await client.get(url)).json()["scheme"] == url.partition(":")[0]
        server.stop()
        await task

    asyncio.run(main())


# -- other people's clients ------------------------------------------------------------


def run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_shows_its_certificate(authority: Authority) -> None:
    mine, ca = jo(authority), authority.cafile
    issued = authority.issue(HOST)
    with serving(issued, ssl_ca_certs=ca, ssl_cert_reqs="optional") as server:
        seen = run("curl", "-sS", "--cacert", ca, "--cert", mine.certfile, "--key", mine.keyfile,
                   server.url)  # fmt: skip
        assert json.loads(seen)["tls"]["client_cert_name"].startswith("CN=jo,")


@pytest.mark.parametrize(
    ("http", "offered", "agreed"),
    [
        ("auto", ["http/1.1", "h2"], "h2"),
        ("auto", ["http/1.1"], "http/1.1"),
        ("auto", [], None),
        ("1", ["h2", "http/1.1"], "http/1.1"),
        ("1", ["h2"], None),
        ("2", ["http/1.1", "h2"], "h2"),
        ("2", ["http/1.1"], None),
    ],
)
def test_the_version_of_http_is_agreed_on(
    authority: Authority, http: str, offered: list[str], agreed: str | None
) -> None:
    context = ssl.create_default_context(cafile=authority.cafile)
    context.set_alpn_protocols(offered)
    with (
        serving(authority.issue(HOST), http=http) as server,
        socket.create_connection((HOST, server.port)) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as client,
    ):
        assert client.selected_alpn_protocol() == agreed


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_finds_nothing_wrong(authority: Authority, version: str) -> None:
    with serving(authority.issue("a.example", HOST)) as server:
        said = run(
            "openssl", "s_client", "-connect", f"{HOST}:{server.port}", "-CAfile",
            authority.cafile, "-servername", "a.example", "-verify_hostname", "a.example",
            "-alpn", "http/1.1", "-ign_eof", version,
            text="GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )  # fmt: skip
        assert "Verify return code: 0 (ok)" in said
        assert "ALPN protocol: http/1.1" in said
        assert "Compression: NONE" in said
        assert '"path": "/x"' in said
        refused = run("openssl", "s_client", "-connect", f"{HOST}:{server.port}", "-tls1_1",
                      "-cipher", "DEFAULT:@SECLEVEL=0")  # fmt: skip
        assert "alert protocol version" in refused or "no protocols available" in refused
