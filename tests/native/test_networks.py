"""Networks: which peers a list of addresses and networks holds."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserve._native.networks import Networks

V4 = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("192.0.2.1", ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.2.2", "::192.0.2.1", "unix"]),
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0"]),
        ("192.0.2.0/31", ["192.0.2.0", "192.0.2.1"], ["192.0.2.2"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "2001:db8::1", "unix"]),
        ("::/0", ["::", "::1", "ffff::"], ["127.0.0.1", "::ffff:127.0.0.1", "unix"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.0", "::10.1.2.3"]),
        ("2001:db8::/32", ["2001:db8::1", "2001:DB8:ffff::"], ["2001:db9::", "2001:db7::"]),
        ("fe80::/10", ["fe80::1", "fe80::1%eth0", "fe80::1%2"], ["fec0::"]),
        ("::1", ["::1"], ["127.0.0.1", "::2", "unix"]),
        ("unix", ["unix"], ["127.0.0.1", "::1"]),
        ("*", ["unix", "192.0.2.1", "::1", "nonsense"], []),
    ],
)
def test_what_an_entry_holds(text: str, inside: list[str], outside: list[str]) -> None:
    for networks in (Networks([text]), Networks(["198.51.100.7", text, "2001:db8:7::/48"])):
        assert [host for host in inside if host not in networks] == []
        assert [host for host in outside if host in networks] == []


@pytest.mark.parametrize("host", ["", "nonsense", "%", "127.0.0.1%", "1", "127.0.0.1/32", "é"])
def test_a_name_that_is_no_address_is_in_no_network(host: str) -> None:
    wide = Networks(["0.0.0.0/0", "::/0", "unix"])
    assert (host in wide) == (host == "127.0.0.1%")


def test_an_empty_list_holds_nobody() -> None:
    assert "127.0.0.1" not in Networks()
    assert "unix" not in Networks()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no address"),
        ("localhost", "is no address"),
        ("10.0.0", "is no address"),
        ("fe80::1%eth0", "is no address"),
        ("10.0.0.0/", "prefix length from 0 to 32"),
        ("10.0.0.0/33", "prefix length from 0 to 32"),
        ("10.0.0.0/-1", "prefix length from 0 to 32"),
        ("10.0.0.0/255.0.0.0", "prefix length from 0 to 32"),
        ("::/129", "prefix length from 0 to 128"),
        ("::/1e1", "prefix length from 0 to 128"),
        ("10.0.0.1/8", "10.0.0.0/8 is the network"),
        ("2001:db8::1/32", "2001:db8::/32 is the network"),
    ],
)
def test_what_is_no_network_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Networks(["127.0.0.1", text])
    assert repr(text) in str(caught.value)


@given(address=V4, other=V4, prefix=st.integers(0, 32))
def test_ipv4_networks_are_those_of_python(
    address: ipaddress.IPv4Address, other: ipaddress.IPv4Address, prefix: int
) -> None:
    network = ipaddress.ip_network((address, prefix), strict=False)
    mine = Networks([str(network)])
    assert str(address) in mine
    assert (str(other) in mine) == (other in network)


@given(address=V6, other=V6, prefix=st.integers(0, 128))
def test_ipv6_networks_are_those_of_python(
    address: ipaddress.IPv6Address, other: ipaddress.IPv6Address, prefix: int
) -> None:
    network = ipaddress.ip_network((address, prefix), strict=False)
    mine = Networks([str(network)])
    assert (str(address) in mine) == (address.ipv4_mapped is None or prefix >= 96)
    if other.ipv4_mapped is None:
        assert (str(other) in mine) == (other in network)
