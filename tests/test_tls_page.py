"""What docs/tls.md says can be done."""

from __future__ import annotations

import re
import shlex
import ssl
from pathlib import Path

import httpx
import pytest
from support.certificates import Authority
from support.handshake import jo
from support.process import started

from fastserve.cli import command
from fastserve.config import OPTIONS, Config

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "tls.md").read_text()
COMMANDS = re.findall(r"^\$ fastserve (.*)", PAGE.replace("\\\n", " "), re.M)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page_is_understood(line: str) -> None:
    values = dict(command().make_context("fastserve", shlex.split(line)).params)
    config = Config(**{name: value for name, value in values.items() if value != ()})
    assert config.tls.is_on


def test_every_option_the_page_names_is_one() -> None:
    assert COMMANDS
    flags = {flag for each in OPTIONS.values() for flag in each.flags}
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= flags
    assert {flag for flag in flags if flag.startswith("--ssl-")} <= {
        "--ssl-version", *re.findall(r"--ssl-[a-z-]+", PAGE), "--ssl-keyfile-password",
    }  # fmt: skip


def test_the_example_greets_a_client_by_its_certificate(authority: Authority) -> None:
    options = [
        *("--port", "0", "--ssl-ca-certs", authority.cafile, "--ssl-cert-reqs", "optional"),
        *(f"--{n.replace('_', '-')}={v}" for n, v in authority.issue("127.0.0.1").options.items()),
    ]

    def said(context: ssl.SSLContext) -> tuple[int, str]:
        reply = httpx.get(running.url, verify=context)
        return reply.status_code, reply.text

    with started(["client_certificate.py", *options], ROOT / "examples") as running:
        known = authority.client_context(jo(authority))
        assert said(known) == (200, "Hello, CN=jo,O=Example\\, Inc.!\n")
        assert said(authority.client_context()) == (403, "this needs a certificate\n")
        assert running.stop() == 0
