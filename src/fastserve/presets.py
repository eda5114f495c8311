"""What stands in front of the server, and the options that fit it: `--behind`.

A preset fills in options that nobody gave. Its rule is to believe of a product what the product
sets itself, whatever the client has sent, and nothing that it only passes on; and to keep idle
connections for longer than the product does, so that no request meets one that is just closed.
Who asks from elsewhere than the preset says is not believed: `--forwarded-allow-ips` says more.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["PRESETS"]

_HERE = ("127.0.0.1", "::1", "unix")

# RFC 1918 and RFC 4193: what containers and clusters use between them.
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")

# RFC 6598, which VPCs use as further private addresses.
_SHARED = ("100.64.0.0/10",)

# https://www.cloudflare.com/ips/, as of 2026; it changes once in some years.
_CLOUDFLARE = (
    "173.245.48.0/20", "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "141.101.64.0/18",
    "108.162.192.0/18", "190.93.240.0/20", "188.114.96.0/20", "197.234.240.0/22",
    "198.41.128.0/17", "162.158.0.0/15", "104.16.0.0/13", "104.24.0.0/14", "172.64.0.0/13",
    "131.0.72.0/22", "2400:cb00::/32", "2606:4700::/32", "2803:f800::/32", "2405:b500::/32",
    "2405:8100::/32", "2a06:98c0::/29", "2c0f:f248::/32",
)  # fmt: skip

PRESETS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        # It passes on every field that its configuration does not set; those two are what
        # deploy/nginx/fastserve.conf sets, and every other configuration that is of use.
        # Host is passed on, so no other name for it is needed. It is on the same machine, or its
        # address is to be given. Idle connections: keepalive_timeout of the upstream, 60 s.
        "nginx": {
            "forwarded_allow_ips": _HERE,
            "forwarded_headers": ("x-forwarded-for", "x-forwarded-proto"),
            "timeout_keep_alive": 75.0,
        },
        # As nginx: Host is passed on, deploy/haproxy/haproxy.cfg sets the two. "option
        # forwardfor" adds a field behind the client's own, which counts as the end of the same
        # list. Idle connections: pool-purge-delay, 5 s.
        "haproxy": {
            "forwarded_allow_ips": _HERE,
            "forwarded_headers": ("x-forwarded-for", "x-forwarded-proto"),
            "timeout_keep_alive": 75.0,
        },
        # Appends the client to X-Forwarded-For and overwrites -Proto and -Port, unless told
        # otherwise (routing.http.xff_header_processing.mode); passes on -Host, -Prefix and
        # Forwarded as the client wrote them. Its addresses are any of its subnets'. Idle
        # connections: 60 s unless idle_timeout is changed.
        "alb": {
            "forwarded_allow_ips": (*_HERE, *_PRIVATE, *_SHARED),
            "forwarded_headers": ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"),
            "timeout_keep_alive": 75.0,
        },
        # Overwrites CF-Connecting-IP and X-Forwarded-Proto; appends to X-Forwarded-For, in which
        # the client may have written what it likes. Comes from its published networks, or from
        # cloudflared on this machine. Idle connections: 900 s; cloudflared's: 90 s.
        "cloudflare": {
            "forwarded_allow_ips": (*_HERE, *_CLOUDFLARE),
            "forwarded_headers": ("cf-connecting-ip", "x-forwarded-proto"),
            "timeout_keep_alive": 920.0,
        },
        # Drops all of them from clients that it does not trust and sets its own; -Prefix is
        # StripPrefix's, and dropped from clients since 2.11.14 and 3.2.1. It is in another
        # container or pod. Idle connections: idleConnTimeout of the transport, 90 s.
        "traefik": {
            "forwarded_allow_ips": (*_HERE, *_PRIVATE),
            "forwarded_headers": (
                "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
                "x-forwarded-prefix",
            ),
            "timeout_keep_alive": 100.0,
        },
    }
)  # fmt: skip
