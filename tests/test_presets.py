"""What `--behind` fills in, and what it leaves alone."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from support.client import Client, request

from fastserve.config import OPTIONS, Config
from fastserve.presets import PRESETS
from fastserve.sources import gather
from fastserve.testing import serve

BEHIND = pytest.mark.parametrize("name", PRESETS)

# How long each keeps an idle connection to the server, in seconds, unless told otherwise.
IDLE = {"nginx": 60, "haproxy": 5, "alb": 60, "cloudflare": 900, "traefik": 90}

# Fields that each passes on as a client has written them, unless told otherwise.
PASSED_ON = {
    "nginx": {"x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "forwarded"},
    "haproxy": {"x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "forwarded"},
    "alb": {"x-forwarded-host", "x-forwarded-prefix", "forwarded", "x-real-ip"},
    "cloudflare": {"x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "forwarded"},
    "traefik": {"forwarded", "cf-connecting-ip"},
}


@BEHIND
def test_a_preset_fills_in_what_nobody_gave(name: str) -> None:
    config = Config("main:app", behind=name)
    for option, value in PRESETS[name].items():
        assert config.get(option) == value
        assert config.origin(option) == f"--behind {name}"
    assert config.origin("behind") == "behind"
    others = set(OPTIONS) - set(PRESETS[name]) - {"behind"}
    assert all(config.get(each) == Config("main:app").get(each) for each in others)


@BEHIND
def test_what_is_given_stays_wherever_it_was_given(name: str) -> None:
    given: dict[str, str] = {
        "forwarded_allow_ips": "192.0.2.7",
        "forwarded_headers": "x-real-ip",
        "timeout_keep_alive": "5",
    }
    assert set(given) == set(PRESETS[name])
    environment = {f"FASTSERVE_{option.upper()}": value for option, value in given.items()}
    config = gather("m:a", {"behind": (name, "--behind")}, environment=environment, pyproject=None)
    assert config.proxies.forwarded_allow_ips == ("192.0.2.7",)
    assert config.proxies.forwarded_headers == ("x-real-ip",)
    assert config.timeouts.keep_alive == 5.0
    assert config.origin("timeout_keep_alive") == "FASTSERVE_TIMEOUT_KEEP_ALIVE"


def test_a_preset_comes_from_any_source() -> None:
    environment = {"FASTSERVE_BEHIND": "traefik"}
    config = gather("m:a", {}, environment=environment, pyproject=None)
    assert config.timeouts.keep_alive == 100.0
    assert config.origin("behind") == "FASTSERVE_BEHIND"


@BEHIND
def test_its_values_are_as_their_options_hold_them(name: str) -> None:
    for option, value in PRESETS[name].items():
        assert OPTIONS[option].kind(value) == value


@BEHIND
def test_idle_connections_are_kept_for_longer_than_the_product_does(name: str) -> None:
    assert Config("main:app", behind=name).timeouts.keep_alive > IDLE[name]


@BEHIND
def test_no_field_is_believed_that_a_client_could_have_written(name: str) -> None:
    believed = set(Config("main:app", behind=name).proxies.forwarded_headers)
    assert not believed & PASSED_ON[name]
    assert "x-forwarded-proto" in believed
    assert len(believed & {"x-forwarded-for", "cf-connecting-ip", "x-real-ip", "forwarded"}) == 1


@BEHIND
def test_nobody_of_the_internet_is_trusted_but_cloudflare(name: str) -> None:
    places = set(Config("main:app", behind=name).proxies.forwarded_allow_ips)
    assert "unix" in places
    networks = [ipaddress.ip_network(each) for each in places - {"unix"}]
    outside = [each for each in networks if each.is_global]
    assert bool(outside) == (name == "cloudflare")
    assert all(a == b or not a.overlaps(b) for a in networks for b in networks
               if a.version == b.version)  # fmt: skip


# -- what the server makes of what each product sends --------------------------------------


async def who(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    hosts = [value.decode() for name, value in scope["headers"] if name == b"host"]
    names = ("client", "scheme", "server", "root_path", "path")
    body = json.dumps([*(scope[name] for name in names), *hosts]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


# Written by the client and passed on, and then what the product writes itself.
SENT = {
    "alb": (
        ["X-Forwarded-Host: evil", "X-Forwarded-Prefix: /evil", "Forwarded: for=6.6.6.6;host=evil"],
        ["X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-Proto: https",
         "X-Forwarded-Port: 8443"],
    ),
    "cloudflare": (
        ["X-Forwarded-Host: evil", "X-Forwarded-Prefix: /evil", "X-Real-IP: 6.6.6.6",
         "Forwarded: for=6.6.6.6;host=evil"],
        ["X-Forwarded-For: 6.6.6.6,203.0.113.9", "CF-Connecting-IP: 203.0.113.9",
         "X-Forwarded-Proto: https", 'CF-Visitor: {"scheme":"https"}'],
    ),
    "traefik": (
        ["Forwarded: for=6.6.6.6;host=evil", "CF-Connecting-IP: 6.6.6.6"],
        ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Host: app.test:8443",
         "X-Forwarded-Port: 8443", "X-Forwarded-Proto: https", "X-Forwarded-Server: node",
         "X-Real-Ip: 203.0.113.9", "X-Forwarded-Prefix: /shop"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SENT)
def test_a_request_as_the_product_sends_it_is_the_clients(name: str) -> None:
    passed_on, own = SENT[name]
    with serve(who, behind=name) as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with Client(address) as client:
            lines = [*passed_on, *own]
            answer = client.ask(request("GET", "/cart", *lines, host="app.test:8443"))
    found, scheme, here, root, path, *hosts = json.loads(answer.text)
    assert (found, scheme, hosts) == (["203.0.113.9", 0], "https", ["app.test:8443"])
    assert here == {
        "alb": ["127.0.0.1", 8443], "cloudflare": list(address), "traefik": ["app.test", 8443],
    }[name]  # fmt: skip
    mount = "/shop" if name == "traefik" else ""
    assert (root, path) == (mount, f"{mount}/cart")
