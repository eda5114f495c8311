"""The plan of the house, read from the source: an arrow between two files only points down.

The order of the rooms is `NATIVE` and `PRODUCT` below, from the ground up; the rooms are
described in docs/design/http1-server.md and the strata in ext/README.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
C = ROOT / "ext" / "c"
EXT = ROOT / "ext" / "fastserve" / "_native"
SRC = ROOT / "src" / "fastserve"

# (room, stratum), from the ground up: a room may use what stands above it in this list, of its
# own stratum or a lower one.
NATIVE = [
    ("errors", "B"),  # exceptions, so that every stratum above can raise them
    ("leaves", "B"),  # declarations of stratum A
    ("buffer", "B"),
    ("headers", "B"),
    ("fields", "B"),
    ("networks", "B"),
    ("proxy_protocol", "B"),
    ("forwarded", "B"),
    ("http1.parser", "B"),
    ("http1.writer", "B"),
    ("http1.redirect", "B"),
    ("websocket.handshake", "B"),
    ("websocket.deflate", "B"),
    ("websocket.frames", "B"),
    ("websocket.writer", "B"),
    ("http2.policy", "B"),
    ("http2.hpack_decoder", "B"),
    ("http2.hpack_encoder", "B"),
    ("http2.frames", "B"),
    ("http2.writer", "B"),
    ("http2.guard", "B"),
    ("http2.heads", "B"),
    ("board", "C"),
    ("deadlines", "C"),
    ("access_text", "B"),
    ("access_format", "C"),
    ("admission", "C"),
    ("access", "C"),
    ("asgi.scope", "C"),
    ("channel", "C"),
    ("asgi.signal", "C"),
    ("asgi.task", "C"),
    ("asgi.awaitables", "C"),
    ("asgi.messages", "C"),
    ("asgi.call", "C"),
    ("asgi.exchange", "C"),
    ("asgi.websocket", "C"),
    ("request_ids", "C"),
    ("outlet", "C"),
    ("exchange_log", "C"),
    ("sendfile", "C"),
    ("unread", "C"),
    ("lease", "C"),
    ("shared", "C"),
    ("websocket.channel", "C"),
    ("http2.response_head", "C"),
    ("requests", "C"),
    ("http2.tunnel", "C"),
    ("http2.stream", "C"),
    ("http2.sending", "C"),
    ("http2.stream_outlet", "C"),
    ("http2.streams", "C"),
    ("http2.channel", "C"),
    ("http1.upgrade", "C"),
    ("http1.response", "C"),
    ("http1.channel", "C"),
    ("tls", "C"),
    ("front", "C"),
    ("proxy_front", "C"),
    ("secure", "C"),
    ("counted", "C"),
    ("connection", "C"),
    ("service", "C"),
]
STRATUM = dict(NATIVE)
NATIVE_ORDER = [room for room, _ in NATIVE]

# Modules of the package; those on one line do not know each other.
PRODUCT = [
    {"errors", "kinds", "presets", "steering", "notify", "terminal", "certificates"},
    {"options", "accessformats", "logformats", "logsinks"},
    {"edge"},
    {"subjects", "board", "heartbeat", "identity", "inherited", "syslog", "accepting"},
    {"config", "envfiles"},
    {"sources", "importer", "logging", "loops", "sockets", "stopping"},
    {"lifespan", "admin", "tls"},
    {"server", "check"},
    {"standalone", "supervision.channel", "supervision.reloader", "supervision.holdings"},
    {"supervision.worker"},
    {"supervision.children"},
    {"supervision.slots", "supervision.upgrade"},
    {"supervision.watchdog"},
    {"supervision.supervisor"},
    {"launch"},
    {"__init__", "testing", "cli"},
    {"__main__"},
]

# The one way to the native modules for requests, and the one for what processes tell.
NATIVE_USERS = {"server", "board"}

LONGEST = 520
# About 500. One idea each that has more lines of it, and what they may grow to:
LONGER = {
    "ext/fastserve/_native/asgi/task.pyx": 540,
}

C_HEADERS = {
    "stddef.h", "stdint.h", "string.h", "time.h",  # C11
    "emmintrin.h", "immintrin.h", "arm_neon.h", "intrin.h",  # the compiler's SIMD
    "windows.h",  # its clock
    "malloc.h",  # glibc's mallopt: a setting, not an allocation
}  # fmt: skip

CYTHON_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<origin>[.\w]+)[ \t]+c?import|c?import[ \t]+(?P<plain>[\w.]+))\b", re.M
)


def native_rooms() -> set[str]:
    files = [path for path in EXT.rglob("*.p[yx][xd]") if path.stem != "__init__"]
    return {".".join(path.relative_to(EXT).with_suffix("").parts) for path in files}


def native_files(room: str) -> list[Path]:
    base = EXT.joinpath(*room.split("."))
    return [path for path in (base.with_suffix(".pyx"), base.with_suffix(".pxd")) if path.exists()]


def cython_imports(path: Path) -> Iterator[str]:
    """Absolute names of what a Cython file imports or cimports."""
    package = ["fastserve", "_native", *path.relative_to(EXT).parent.parts]
    text = re.sub(r'""".*?"""', "", path.read_text(), flags=re.S)
    for match in CYTHON_IMPORT.finditer(text):
        name = match["origin"] or match["plain"]
        level = len(name) - len(name.lstrip("."))
        if level:
            name = ".".join([*package[: len(package) - level + 1], name[level:]])
        yield name


def room_of(name: str) -> str | None:
    prefix = "fastserve._native."
    return name.removeprefix(prefix) if name.startswith(prefix) else None


@pytest.mark.parametrize("room", NATIVE_ORDER)
def test_a_native_room_uses_only_what_is_below_it(room: str) -> None:
    below = NATIVE_ORDER[: NATIVE_ORDER.index(room)]
    files = native_files(room)
    assert files, f"there is no room {room} any more"
    for path in files:
        for name in cython_imports(path):
            used = room_of(name)
            if used is None or used == room:
                assert not name.startswith("fastserve") or used == room, f"{path} imports {name}"
                continue
            assert used in below, f"{path.relative_to(ROOT)}: {used} is not below {room}"
            assert STRATUM[used] <= STRATUM[room], f"{room} is in a lower stratum than {used}"


def test_every_native_room_has_its_place_and_its_row_in_the_design() -> None:
    assert native_rooms() == set(NATIVE_ORDER)
    names = ("http1-server.md", "websocket.md", "edge.md", "http2.md")
    pages = (ROOT / "docs" / "design" / name for name in names)
    row = re.compile(r"^\| [\w ]+ \| `_native/([\w/]+)` \| [BC] \|", re.M)
    described = {room for page in pages for room in row.findall(page.read_text())}
    rooms = {room.replace(".", "/") for room in NATIVE_ORDER}
    assert described == rooms - {"errors", "leaves"}


@pytest.mark.parametrize("room", [room for room, stratum in NATIVE if stratum == "B"])
def test_a_codec_knows_no_event_loop_and_no_asgi(room: str) -> None:
    for path in native_files(room):
        assert not {name.split(".")[0] for name in cython_imports(path)} & {
            "asyncio", "socket", "ssl", "os", "select", "logging",
        }  # fmt: skip
        assert not re.search(
            r"""["'](http\.(request|response)|http\.disconnect|websocket\.)""", path.read_text()
        )


@pytest.mark.parametrize("path", sorted(C.glob("*.[ch]")), ids=lambda path: path.name)
def test_a_leaf_is_c_alone(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)', text, re.M):
        assert name in C_HEADERS or (C / name).exists(), f"{path.name} includes {name}"
    assert not re.search(r"\b(malloc|calloc|realloc|free|alloca)\s*\(", text)


def test_no_source_is_pasted_into_another() -> None:
    for path in EXT.rglob("*.p[yx][xd]"):
        assert not re.search(r'^\s*include\s+["\']', path.read_text(), re.M), path


def product_imports(path: Path) -> Iterator[str]:
    """Names of what a module of the package imports from it, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            if node.module == "fastserve":
                # The version is a name of the package that anybody may show.
                names = [each.name for each in node.names if each.name != "__version__"]
                yield from (f"fastserve.{name}" for name in names)
            else:
                yield node.module or ""


def product_modules() -> dict[str, Path]:
    """Files by module name; a package's own file, but for the outermost, holds no code."""
    found = {
        ".".join(path.relative_to(SRC).with_suffix("").parts): path
        for path in SRC.rglob("*.py")
        if "_native" not in path.parts
    }
    return {name: path for name, path in found.items() if not name.endswith(".__init__")}


@pytest.mark.parametrize("level", range(len(PRODUCT)), ids=lambda level: "+".join(PRODUCT[level]))
def test_a_module_uses_only_what_is_below_it(level: int) -> None:
    below = set().union(*PRODUCT[:level])
    for module in sorted(PRODUCT[level]):
        for name in product_imports(SRC / f"{module.replace('.', '/')}.py"):
            if name.startswith("fastserve.") and not name.startswith("fastserve._native"):
                used = name.removeprefix("fastserve.")
                assert used in below or used == module, f"{module} imports {used}"


def test_every_module_has_its_place() -> None:
    assert set(product_modules()) == set().union(*PRODUCT)


def test_the_native_modules_have_few_users() -> None:
    users = {
        module
        for module, path in product_modules().items()
        for name in product_imports(path)
        if name.startswith("fastserve._native")
    }
    assert users == NATIVE_USERS


def test_files_stay_short() -> None:
    kinds = {".py", ".pyx", ".pxd", ".c", ".h"}
    folders = [ROOT / name for name in ("ext", "src", "tests", "benchmarks", "examples", "tools")]
    files = [p for folder in folders for p in folder.rglob("*") if p.suffix in kinds]
    assert len(files) > 100
    lengths = {str(p.relative_to(ROOT)): p.read_text().count("\n") for p in files}
    too_long = {name: n for name, n in lengths.items() if n > LONGER.get(name, LONGEST)}
    assert not too_long
    assert all(lengths[name] > LONGEST for name in LONGER), "an allowance is no longer needed"
