"""Native modules of fastserve; everything else about the package is in pyproject.toml.

Environment switches, for developers:
  FASTSERVE_BUILD=debug    no optimisation, C assertions, line tracing off
  FASTSERVE_BUILD=asan     AddressSanitizer and UBSan (see `make asan`)
  FASTSERVE_BUILD=profile  optimised, with symbols and frame pointers

Cython translates `ext/**/*.pyx` into `generated/`. An sdist carries that C too, so
that it builds where there is a compiler and no Cython.
"""

import os
import sys

from setuptools import Extension, setup

try:
    from Cython.Build import cythonize
except ImportError:
    cythonize = None

GENERATED = "generated"
MODE = os.environ.get("FASTSERVE_BUILD", "release")

# module below fastserve._native -> C leaves it links
MODULES = {
    "errors": [],
    "board": [],
    "buffer": [],
    "headers": ["fs_scan"],
    "fields": ["fs_scan"],
    "deadlines": [],
    "access_text": ["fs_date", "fs_scan"],
    "access_format": [],
    "admission": [],
    "access": ["fs_date"],
    "request_ids": [],
    "exchange_log": [],
    "outlet": [],
    "shared": ["fs_date"],
    "counted": [],
    "sendfile": [],
    "unread": [],
    "lease": [],
    "channel": [],
    "tls": [],
    "front": [],
    "proxy_front": [],
    "secure": [],
    "connection": [],
    "service": [],
    "networks": ["fs_address"],
    "proxy_protocol": ["fs_address", "fs_proxy"],
    "forwarded": ["fs_scan", "fs_address", "fs_target"],
    "http1.parser": ["fs_scan", "fs_http1", "fs_chunked", "fs_target"],
    "http1.writer": ["fs_scan", "fs_date", "fs_chunked"],
    "http1.redirect": [],
    "requests": [],
    "http2.tunnel": [],
    "http2.stream": [],
    "http2.sending": ["fs_h2_frame"],
    "http2.streams": ["fs_h2_frame"],
    "http2.stream_outlet": [],
    "http2.channel": [],
    "http1.upgrade": ["fs_h2_frame"],
    "http1.response": [],
    "http1.channel": [],
    "asgi.scope": ["fs_target"],
    "asgi.awaitables": [],
    "asgi.messages": [],
    "asgi.task": [],
    "asgi.exchange": [],
    "asgi.call": [],
    "asgi.signal": [],
    "asgi.websocket": [],
    "websocket.handshake": [],
    "websocket.deflate": [],
    "websocket.frames": ["fs_ws_frame", "fs_mask", "fs_utf8"],
    "websocket.writer": ["fs_ws_frame"],
    "websocket.channel": [],
    "http2.policy": [],
    "http2.hpack_decoder": ["fs_hpack", "fs_huffman", "fs_scan"],
    "http2.hpack_encoder": ["fs_hpack", "fs_huffman"],
    "http2.frames": ["fs_h2_frame"],
    "http2.writer": ["fs_h2_frame"],
    "http2.guard": [],
    "http2.heads": ["fs_scan", "fs_target"],
    "http2.response_head": ["fs_date", "fs_h2_frame"],
}

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "binding": False,
    "embedsignature": True,
    "embedsignature.format": "python",
}

if sys.platform == "win32":
    FLAGS, LINK = ["/O2"], []
else:
    FLAGS = {
        # What tells a debugger of lines is CPython's default, and a quarter of the compile time.
        "release": ["-O3", "-g0", "-fvisibility=hidden"],
        "profile": ["-O3", "-g", "-fno-omit-frame-pointer"],
        "debug": ["-O0", "-g", "-UNDEBUG"],
        "asan": [
            "-O1",
            "-g",
            "-UNDEBUG",
            "-fno-omit-frame-pointer",
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=undefined",
        ],
    }[MODE] + ["-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter"]
    LINK = ["-fsanitize=address,undefined"] if MODE == "asan" else []


def extension(name: str, leaves: list[str]) -> Extension:
    source = f"ext/fastserve/_native/{name.replace('.', '/')}"
    main = f"{GENERATED}/{source}.c" if cythonize is None else f"{source}.pyx"
    return Extension(
        f"fastserve._native.{name}",
        [main] + [f"ext/c/{leaf}.c" for leaf in leaves],
        include_dirs=["ext/c"],
        depends=["ext/c/fs_block.h", "ext/c/fs_board.h", "ext/c/fs_digits.h"]
        + [f"ext/c/{leaf}.h" for leaf in leaves],
        extra_compile_args=FLAGS,
        extra_link_args=LINK,
    )


modules = [extension(name, leaves) for name, leaves in MODULES.items()]
if cythonize is not None:
    modules = cythonize(
        modules,
        include_path=["ext"],
        build_dir=GENERATED,
        compiler_directives=DIRECTIVES,
    )
elif not os.path.isdir(GENERATED):
    sys.exit("Building fastserve from a clone needs Cython: pip install cython")

setup(ext_modules=modules)
