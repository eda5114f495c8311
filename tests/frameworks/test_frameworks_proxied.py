"""Links that an application makes of itself behind a proxy: they lead back through the proxy."""

from __future__ import annotations

import json
from typing import Any

import pytest

FIELDS = (
    "X-Forwarded-For: 198.51.100.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: shop.example",
)
PREFIX = "X-Forwarded-Prefix: /shop"
BELIEVED = "x-forwarded-for,x-forwarded-proto,x-forwarded-host,x-forwarded-prefix"


@pytest.mark.without("litestar", "quart", "flask")
def test_links_behind_a_proxy_whether_it_strips_its_prefix_or_not(
    own_server: Any, framework: str
) -> None:
    with own_server(framework, forwarded_headers=BELIEVED) as (server, noise):
        for lines, target, path in (
            (FIELDS, "/links", "/links"),
            ((*FIELDS, PREFIX), "/links", "/shop/links"),
            ((*FIELDS, PREFIX), "/shop/links", "/shop/links"),
        ):
            told = json.loads(server.get(target, *lines).text)
            link = f"https://shop.example{path}"
            assert told == {"self": link, "other": link, "client": "198.51.100.7"}
    assert noise == []


@pytest.mark.without("litestar", "quart", "flask")
@pytest.mark.parametrize("target", ["/links", "/shop/links"])
def test_links_below_a_root_path_of_the_configuration(
    own_server: Any, framework: str, target: str
) -> None:
    with own_server(framework, root_path="/shop") as (server, noise):
        told = json.loads(server.get(target, "X-Forwarded-Proto: https").text)
        assert told["self"] == told["other"] == "https://test/shop/links"
    assert noise == []
