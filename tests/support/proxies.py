"""What proxies say of clients: PROXY headers, by the specification, and the fields of a liar."""

from __future__ import annotations

import struct
from ipaddress import ip_address

# Every field that some proxy writes, from a client that pretends to be one.
CLAIMS = (
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Port: 666",
    "X-Forwarded-Prefix: /evil",
    "X-Real-IP: 6.6.6.6",
    "CF-Connecting-IP: 6.6.6.6",
    "Forwarded: for=6.6.6.6;proto=https;host=evil.test",
)
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def line(client: str, client_port: int, server: str, server_port: int) -> bytes:
    """A header of version 1."""
    family = f"TCP{ip_address(client).version}"
    return f"PROXY {family} {client} {server} {client_port} {server_port}\r\n".encode()


def extension(kind: int, value: bytes) -> bytes:
    return struct.pack(">BH", kind, len(value)) + value


def header(
    client: str = "",
    client_port: int = 0,
    server: str = "",
    server_port: int = 0,
    *,
    command: int = 1,
    family: int = 0,
    transport: int = 1,
    more: bytes = b"",
) -> bytes:
    """A header of version 2; without addresses, of `family` and whatever `more` holds."""
    body = b""
    if client:
        one, other = ip_address(client), ip_address(server)
        family = (1 if one.version == 4 else 2) << 4 | transport
        body = one.packed + other.packed + struct.pack(">HH", client_port, server_port)
    body += more
    return SIGNATURE + struct.pack(">BBH", 0x20 | command, family, len(body)) + body
