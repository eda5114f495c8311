"""PROXY protocol headers, written by its specification and by none of the server's code."""

from __future__ import annotations

import struct
from ipaddress import ip_address

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
