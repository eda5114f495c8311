"""Headless Chromium, for pages whose script reports what it found."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .certificates import Certificate

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)

PATIENCE = 90.0
"""A browser's first start on a busy machine takes its time."""

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@contextmanager
def browsing(url: str, directory: Path, *options: str) -> Iterator[None]:
    """The browser shows the page at `url` until the block ends; its log is shown if that fails."""
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(BROWSER), *OPTIONS, *options, f"--user-data-dir={directory / 'profile'}",
                "--remote-debugging-port=0", url,
            ],
            stdout=log,
            stderr=log,
            env=os.environ | {"HOME": str(directory)},
            start_new_session=True,
        )  # fmt: skip
        try:
            yield
        except AssertionError:
            print((directory / "log").read_text(errors="replace")[-3000:])
            raise
        finally:
            # With all its processes, which are a group.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def trusting(certificate: Certificate) -> str:
    """The option with which the browser takes this certificate's key, and no other unknown one."""
    chain = x509.load_pem_x509_certificates(Path(certificate.certfile).read_bytes())
    key = chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = Hash(SHA256())
    digest.update(key)
    name = base64.b64encode(digest.finalize()).decode()
    return f"--ignore-certificate-errors-spki-list={name}"
