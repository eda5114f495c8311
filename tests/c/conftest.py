"""The C leaves as one shared library, and thin wrappers that speak bytes and names.

Every input is laid so that it ends where a page without any rights begins: a read
of one byte too many is a crash.  The library is built twice, with and without SIMD,
and every test runs on both.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import shutil
import subprocess
from ctypes import (
    Structure,
    byref,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
)
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "ext" / "c"
LEAVES = ("fs_scan", "fs_http1", "fs_chunked", "fs_target", "fs_date")
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
BUILDS = {"simd": (), "table": ("-DFS_NO_SIMD",)}
ROOM = 1 << 20


class Limits(Structure):
    _fields_ = [(name, c_uint32) for name in ("line", "field", "head", "fields")]


class Resume(Structure):
    _fields_ = [(name, c_uint32) for name in ("line_off", "count")]


class Head(Structure):
    _fields_ = [
        (name, c_uint32)
        for name in (
            "method_off", "method_len", "target_off", "target_len", "minor", "fields_off", "count",
        )
    ]  # fmt: skip


class Field(Structure):
    _fields_ = [(name, c_uint32) for name in ("name_off", "name_len", "value_off", "value_len")]


class Chunked(Structure):
    _fields_ = [
        ("left", c_uint64), ("size", c_uint64), ("extensions", c_uint32), ("limit", c_uint32),
        ("state", c_uint8), ("digits", c_uint8),
    ]  # fmt: skip


class Target(Structure):
    _fields_ = [
        *((name, c_uint32) for name in (
            "path_off", "path_len", "query_off", "query_len", "scheme_len", "host_off", "host_len",
        )),
        ("form", c_uint8), ("path_escaped", c_uint8),
    ]  # fmt: skip


DEFAULTS = {"line": 8192, "field": 16384, "head": 65536, "fields": 100}


def compiler() -> str:
    """The C compiler: $CC, gcc or cc. Building fastserve needs one, so its lack is a failure."""
    for name in (os.environ.get("CC"), "gcc", "cc"):
        if name and shutil.which(name):
            return name
    raise RuntimeError("no C compiler: set CC")


def compile_c(output: Path, *arguments: str | Path) -> Path:
    """Compile with warnings as errors; a failure shows what the compiler said."""
    command = [compiler(), *STRICT, f"-I{SOURCES}", "-o", str(output), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return output


def leaf_sources() -> list[Path]:
    return [SOURCES / f"{leaf}.c" for leaf in LEAVES]


def code_names() -> dict[int, str]:
    """Number to name (without FS_) of every answer the headers define."""
    text = "".join((SOURCES / f"{leaf}.h").read_text() for leaf in LEAVES)
    pairs = re.findall(r"\bFS_([A-Z_]+) = (-?\d+)", text)
    return {int(number): name for name, number in pairs if int(number) < 0}


class GuardedPage:
    """Memory with a page behind it that may not be touched."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = [c_void_p, c_size_t, c_int]
        self.memory = mmap.mmap(-1, ROOM + mmap.PAGESIZE)
        self.begin = ctypes.addressof(c_uint8.from_buffer(self.memory))
        self.end = self.begin + ROOM
        if libc.mprotect(self.end, mmap.PAGESIZE, 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")

    def put(self, data: bytes) -> int:
        """The address of a copy of `data` that ends at the guard."""
        address = self.end - len(data)
        ctypes.memmove(address, data, len(data))
        return address


class Leaves:
    """The library: one method per function, bytes in, names or plain values out."""

    def __init__(self, path: Path, build: str) -> None:
        self.build = build
        self.library = ctypes.CDLL(str(path))
        self.names = code_names()
        self.page = GuardedPage()
        for name in ("fs_http1_skip_empty", "fs_http1_request_line", "fs_http1_fields",
                     "fs_http1_parse", "sweep_scanner"):  # fmt: skip
            getattr(self.library, name).restype = c_int64
        for name in ("fs_scan_field_value", "fs_scan_target", "fs_scan_token",
                     "fs_scan_quotable", "fs_decimal", "fs_chunked_write_head",
                     "fs_target_unescape"):  # fmt: skip
            getattr(self.library, name).restype = c_size_t

    def name(self, answer: int) -> int | str:
        return self.names[answer] if answer < 0 else answer

    def _bytes(self, data: bytes) -> tuple[c_void_p, c_size_t]:
        return c_void_p(self.page.put(data)), c_size_t(len(data))

    # fs_scan

    def scan(self, which: str, data: bytes) -> int:
        return getattr(self.library, f"fs_scan_{which}")(*self._bytes(data))

    def sweep(self, which: int, allowed: bytes, filler: int, most: int) -> int:
        return self.library.sweep_scanner(
            c_int(which), allowed, c_uint8(filler), c_void_p(self.page.end), c_size_t(most)
        )

    def lower(self, data: bytes, *, in_place: bool) -> bytes:
        source, n = self._bytes(data)
        other = ctypes.create_string_buffer(len(data) + 1)
        to = source if in_place else ctypes.cast(other, c_void_p)
        self.library.fs_lower(to, source, n)
        return ctypes.string_at(to, len(data))

    def equal_nocase(self, data: bytes, lower: bytes) -> int:
        return self.library.fs_equal_nocase(c_void_p(self.page.put(data)), lower,
                                            c_size_t(len(data)))  # fmt: skip

    # fs_http1

    @staticmethod
    def new_resume() -> Resume:
        return Resume()

    def skip_empty(self, data: bytes, most: int) -> int | str:
        return self.name(self.library.fs_http1_skip_empty(*self._bytes(data), c_uint32(most)))

    def request_line(self, data: bytes, line: int = DEFAULTS["line"]) -> Any:
        limits, head = Limits(line, 1, 1, 1), Head()
        got = self.library.fs_http1_request_line(*self._bytes(data), byref(limits), byref(head))
        if got < 0:
            return self.name(got)
        assert head.fields_off == got
        return (*_request_line(data, head), got)

    def fields(self, data: bytes, start: int, resume: Resume, **limits: int) -> Any:
        set_limits = Limits(**(DEFAULTS | limits))
        fields, count = (Field * set_limits.fields)(), c_uint32(0)
        got = self.library.fs_http1_fields(
            *self._bytes(data), c_size_t(start), byref(set_limits), byref(resume),
            fields, byref(count),
        )  # fmt: skip
        return self.name(got) if got < 0 else (_pairs(data, fields, count.value), got)

    def parse(self, data: bytes, resume: Resume | None = None, **limits: int) -> Any:
        """("GET", b"/", minor, [(name, value)], length) or the name of the answer."""
        set_limits = Limits(**(DEFAULTS | limits))
        fields, head = (Field * set_limits.fields)(), Head()
        got = self.library.fs_http1_parse(
            *self._bytes(data), byref(set_limits), byref(Resume() if resume is None else resume),
            byref(head), fields,
        )  # fmt: skip
        if got < 0:
            return self.name(got)
        return (*_request_line(data, head), _pairs(data, fields, head.count), got)

    # fs_chunked

    def chunked(self, pieces: list[bytes], limit: int = 1 << 16) -> tuple[bytes, int | str, int]:
        """(data, last answer, bytes used in all) of a body that comes in `pieces`."""
        state, data, total = Chunked(), b"", 0
        self.library.fs_chunked_init(byref(state), c_uint32(limit))
        used, offset, length = c_size_t(), c_size_t(), c_size_t()
        for piece in pieces:
            at = 0
            while True:
                rest = piece[at:]
                got = self.library.fs_chunked_next(
                    byref(state), *self._bytes(rest), byref(used), byref(offset), byref(length)
                )
                assert used.value <= len(rest)
                at += used.value
                total += used.value
                if got == 1:
                    assert length.value > 0
                    data += rest[offset.value : offset.value + length.value]
                    continue
                assert (offset.value, length.value) == (0, 0)
                if got == 0:
                    assert at == len(piece)
                    break
                return data, ("LAST" if got == 2 else self.name(got)), total
        return data, "MORE", total

    def write_chunk_head(self, size: int) -> bytes:
        room = ctypes.create_string_buffer(18)
        n = self.library.fs_chunked_write_head(room, c_uint64(size))
        return room.raw[:n]

    # fs_target

    def target(self, data: bytes, method: bytes = b"GET") -> dict[str, Any] | str:
        out = Target()
        got = self.library.fs_target_parse(
            *self._bytes(data), method, c_size_t(len(method)), byref(out)
        )
        if got < 0:
            return self.names[got]
        assert got == out.form
        return {
            "form": ("", "origin", "absolute", "authority", "asterisk")[got],
            "path": data[out.path_off : out.path_off + out.path_len],
            "query": data[out.query_off : out.query_off + out.query_len],
            "scheme": data[: out.scheme_len],
            "host": data[out.host_off : out.host_off + out.host_len],
            "escaped": bool(out.path_escaped),
        }

    def unescape(self, data: bytes, *, in_place: bool) -> bytes:
        source, n = self._bytes(data)
        other = ctypes.create_string_buffer(len(data) + 1)
        to = source if in_place else ctypes.cast(other, c_void_p)
        return ctypes.string_at(to, self.library.fs_target_unescape(to, source, n))

    def host_ok(self, data: bytes) -> bool:
        return bool(self.library.fs_target_host_ok(*self._bytes(data)))

    # fs_date

    def date_http(self, seconds: int) -> bytes:
        room = ctypes.create_string_buffer(29)
        self.library.fs_date_http(room, c_int64(seconds))
        return room.raw

    def date_log(self, seconds: int, offset: int) -> bytes:
        room = ctypes.create_string_buffer(19)
        self.library.fs_date_log(room, c_int64(seconds), c_int32(offset))
        return room.raw

    def date_common(self, seconds: int, offset: int) -> bytes:
        room = ctypes.create_string_buffer(26)
        self.library.fs_date_common(room, c_int64(seconds), c_int32(offset))
        return room.raw

    def decimal(self, value: int) -> bytes:
        room = ctypes.create_string_buffer(20)
        n = self.library.fs_decimal(room, c_uint64(value))
        return room.raw[:n]


def _request_line(data: bytes, head: Head) -> tuple[bytes, bytes, int]:
    method = data[head.method_off : head.method_off + head.method_len]
    target = data[head.target_off : head.target_off + head.target_len]
    return method, target, head.minor


def _pairs(data: bytes, fields: Any, count: int) -> list[tuple[bytes, bytes]]:
    return [
        (data[f.name_off : f.name_off + f.name_len], data[f.value_off : f.value_off + f.value_len])
        for f in fields[:count]
    ]


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Leaves]:
    """Both builds, by name."""
    folder = tmp_path_factory.mktemp("leaves")
    return {
        name: Leaves(
            compile_c(folder / f"{name}.so", "-O2", "-fPIC", "-shared", *flags,
                      *leaf_sources(), HERE / "sweep.c"),
            name,
        )
        for name, flags in BUILDS.items()
    }  # fmt: skip


@pytest.fixture(params=sorted(BUILDS), scope="session")
def leaves(request: pytest.FixtureRequest, libraries: dict[str, Leaves]) -> Leaves:
    """One build of the leaves; a test that asks for it runs once on each."""
    return libraries[request.param]


@pytest.fixture(scope="session")
def build_torment() -> Any:
    """Builds torment.c with the leaves: callable(output, *flags) -> the program's path."""
    return lambda output, *flags: compile_c(output, *flags, HERE / "torment.c", *leaf_sources())
