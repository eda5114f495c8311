"""The native modules: codecs, ASGI, connections. Only `server` and `board` import them."""

from __future__ import annotations

import importlib.util
import sys

if importlib.util.find_spec("fastserve._native.connection") is None:
    raise ImportError(
        "fastserve's native modules are not built for "
        f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]} "
        f"on {sys.platform}; there is no slow replacement for them. "
        "Install a wheel (pip install fastserve), or in a source tree build them "
        "(pip install -e .), which needs a C compiler.",
        name="fastserve._native",
    )
