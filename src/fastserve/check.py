"""`fastserve check`: a dry run of a configuration, told to a person.

The application is imported and its lifespan run, as the server would do it; nothing is
listened on, and no log or pid file is written.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import inspect
import logging
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from fastserve import envfiles
from fastserve.certificates import Facts
from fastserve.config import OPTIONS, Config
from fastserve.errors import ConfigError, FastserveError, LifespanError
from fastserve.importer import ASGIApp, load_app
from fastserve.kinds import (
    Headers,
    Mode,
    Place,
    Secret,
    Size,
)
from fastserve.lifespan import Lifespan
from fastserve.logging import configure
from fastserve.loops import loop_factory, loop_name
from fastserve.options import Option
from fastserve.sources import is_of_kubernetes
from fastserve.stopping import Stop, longest_stop
from fastserve.tls import ALPN, Certificates, days_left, told

__all__ = ["check", "warnings_of"]

_WIDEST = 32
# What Kubernetes gives a pod to end (terminationGracePeriodSeconds) unless told otherwise.
_GRACE = 30.0
_HERE = ("127.0.0.1", "::1", "localhost")
# Tools renew a certificate when it has a month left.
_SOON = 30
_CPU_QUOTA = "/sys/fs/cgroup/cpu.max"


def check(config: Config, *, show_all: bool = False, import_only: bool = False) -> int:
    """Try what `config` describes without serving; the exit status, 0 if all is well.

    Tells, on stdout, the settings that are not the defaults (`show_all`: every one) with
    where they came from, what the application is, and what an experienced eye would look at
    twice. Failures are told on stderr, as the server tells them. `import_only` leaves the
    application's lifespan alone.
    """
    try:
        envfiles.load(config.application.env_file)
        _try(config, show_all, import_only)
    except FastserveError as error:
        _print(error.report(), sys.stderr)
        return error.status
    except ImportError as error:
        if error.name != "fastserve._native":
            raise
        _print(f"fastserve: {error}", sys.stderr)
        return FastserveError.status
    except KeyboardInterrupt:
        return 130
    _tell("it can be imported" if import_only else "it would start")
    return 0


def _try(config: Config, show_all: bool, import_only: bool) -> None:
    import fastserve.board  # noqa: F401  # native: is there a build for this Python?
    from fastserve import __version__

    _tell(f"fastserve {__version__} on {platform.python_implementation()} "
          f"{platform.python_version()}")  # fmt: skip
    # Whoever checks may be another user than the server's: no file of theirs is made.
    configure(dataclasses.replace(config.logging, log_file=None, access_log_file=None))
    _tell_settings(config, show_all)
    make_loop = loop_factory(config.process.loop)
    if config.reload.reload and not _is_installed("watchfiles"):
        raise ConfigError(
            f"{config.origin('reload')} needs watchfiles: pip install 'fastserve[standard]'"
        )
    certificates = Certificates(config).certificates if config.tls.is_on else []
    for each in certificates:
        _tell(f"certificate: {told(each)}")
    if certificates:
        _tell(f"protocols over TLS (ALPN): {', '.join(ALPN[config.http.http])}")
    began = time.monotonic()
    app = load_app(config.app, config.application)
    _tell(f"application: {_kind(app, config)}, imported in {_time_since(began)}")
    if import_only:
        _tell("lifespan: not run (--import-only)")
    elif config.application.lifespan == "off":
        _tell("lifespan: not run (--lifespan off)")
    else:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(_run_lifespan(app, config))
    for warning in [*warnings_of(config), *_about_ends(certificates)]:
        _tell(f"warning: {warning}")


def _kind(app: ASGIApp, config: Config) -> str:
    if getattr(app, "__module__", None) == load_app.__module__:
        told = "ASGI 2"  # what load_app has wrapped
    elif inspect.isroutine(app):
        told = f"ASGI 3, the function {app.__module__}.{app.__qualname__}"
    else:
        told = f"ASGI 3, an object of {type(app).__module__}.{type(app).__qualname__}"
    if config.application.factory:
        told += ", made by a factory"
    module = sys.modules.get(str(config.app).partition(":")[0])
    file = getattr(module, "__file__", None)
    return f"{told}, from {file}" if file else told


async def _run_lifespan(app: ASGIApp, config: Config) -> None:
    loop = loop_name(asyncio.get_running_loop())
    lifespan = Lifespan(
        app,
        config.application.lifespan,
        config.timeouts.lifespan,
        _telling_all(),
        state={"fastserve_draining": asyncio.Event()},
    )
    began = time.monotonic()
    await lifespan.startup()
    if lifespan.state is None:
        _tell(f"lifespan: the application has none (event loop {loop})")
        return
    _tell(f"lifespan: started in {_time_since(began)} (event loop {loop})")
    began = time.monotonic()
    if not await lifespan.shutdown():
        raise _ShutdownError("the application's lifespan shutdown failed")
    _tell(f"lifespan: shut down in {_time_since(began)}")


def _telling_all() -> logging.Logger:
    """The server's logger, telling also why an application counts as one without lifespan."""
    logger = logging.getLogger("fastserve.error.check")
    logger.setLevel(logging.DEBUG)
    return logger


class _ShutdownError(LifespanError):
    """The application could serve, but did not end as it should."""

    status = 1


def _time_since(then: float) -> str:
    return f"{time.monotonic() - then:.3f} s"


# -- settings --------------------------------------------------------------------------


def _tell_settings(config: Config, show_all: bool) -> None:
    rows = [
        (each.name, _written(each, config.get(each.name)), config.origin(each.name))
        for each in OPTIONS.values()
        if show_all or each.name in config.origins
    ]
    if not rows:
        _tell("settings: the defaults (--all shows them)")
        return
    _tell("settings:" if show_all else "settings (--all shows the defaults too):")
    name_width, value_width = (min(max(len(row[i]) for row in rows), _WIDEST) for i in (0, 1))
    for name, value, origin in rows:
        _tell(f"  {name:<{name_width}}  {value:<{value_width}}  {origin}")


def _written(option: Option, value: Any) -> str:
    """The value as a person would write it."""
    if value is None:
        return "not set"
    if isinstance(option.kind, Secret):
        return "set, and not shown"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(option.kind, Headers):
        value = [b": ".join(pair).decode("latin-1") for pair in value]
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(option.kind, Mode):
        return f"{value:o}"
    if isinstance(option.kind, Size):
        return _sized(value)
    return f"{value:g}" if isinstance(value, float) else str(value) or "empty"


def _sized(size: int) -> str:
    unit = ""
    for larger in "kmg":
        if not size or size % 1024:
            break
        size, unit = size // 1024, larger
    return f"{size}{unit}"


# -- what an experienced eye would look at twice ---------------------------------------


def warnings_of(config: Config) -> list[str]:
    """What may not be what was meant, each in a sentence."""
    return [
        *_about_processors(config),
        *_about_stopping(config),
        *_about_replacing(config),
        *_about_proxies(config),
        *_about_paths(config),
        *_about_tls(config),
        *_about_http2(config),
        *_about_packages(config),
        *_about_variables(),
    ]


def _about_processors(config: Config) -> Iterator[str]:
    processors = _processors()
    if config.worker_count > processors:
        yield (
            f"there are more workers ({config.worker_count}) than processors for them "
            f"({processors:g}): each can use one, and each takes its memory"
        )


def _processors() -> float:
    """How many this process may use: by its affinity, and by its container's limit."""
    if hasattr(os, "sched_getaffinity"):
        found: float = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    try:
        with open(_CPU_QUOTA) as file:
            quota, period = file.read().split()
        return max(1.0, min(found, int(quota) / int(period)))
    except (OSError, ValueError):  # no such limit, or "max"
        return found


def _about_stopping(config: Config) -> Iterator[str]:
    stop = Stop.of(config)
    if stop.drain + stop.graceful > _GRACE:
        longest = longest_stop(config, stop) or stop.drain + stop.graceful
        yield (
            f"a stop may take {longest:g} s: Kubernetes kills after {_GRACE:g} s unless "
            "terminationGracePeriodSeconds is more (Docker: 10 s, systemd: 90 s)"
        )


def _about_replacing(config: Config) -> Iterator[str]:
    if config.is_supervised:
        return
    if config.limits.max_requests:
        yield (
            f"the server stops after {config.limits.max_requests} requests: without --workers "
            "nothing replaces it but what has started it"
        )
    idle = ("limit_worker_lifetime", "limit_worker_memory", "timeout_blocked_loop")
    for name in idle:
        if config.get(name):
            yield f"{config.origin(name)} does nothing without --workers"


def _about_proxies(config: Config) -> Iterator[str]:
    proxies = config.proxies
    if not proxies.proxy_headers:
        if proxies.behind is not None:
            yield (
                f"{config.origin('behind')}: nothing is believed of {proxies.behind}, because "
                f"{config.origin('proxy_headers')} is off"
            )
    elif all(map(_is_here, config.bind.places)):
        return
    elif "*" in proxies.forwarded_allow_ips or config.believes_anybody:
        name = "forwarded_hops" if config.believes_anybody else "forwarded_allow_ips"
        yield (
            f"{config.origin(name)}: whoever can connect is believed about who is asking, so "
            "nobody but the proxy must reach the port"
        )
    elif proxies.behind is not None and {*proxies.forwarded_allow_ips} <= {*_HERE, "unix"}:
        yield (
            f"{proxies.behind} is believed on this machine only, but others can connect: if it is "
            "elsewhere, --forwarded-allow-ips has its address"
        )


def _is_here(place: Place) -> bool:
    """Whether only this machine can connect; a descriptor's socket may be any."""
    return place.path is not None or place.host in _HERE


def _about_paths(config: Config) -> Iterator[str]:
    logs = [(name, config.get(name)) for name in ("log_file", "access_log_file")]
    made = [("pid_file", config.process.pid_file)]
    made += [("uds" if not config.bind.bind else "bind", each.path) for each in config.bind.places]
    if config.admin.admin_bind is not None:
        made.append(("admin_bind", config.admin.admin_bind.path))
    for name, path in logs:
        if not isinstance(path, str) or path.startswith("syslog:"):
            continue
        if os.path.exists(path):
            if not os.access(path, os.W_OK):
                yield f"{config.origin(name)}: this user may not write to {path}"
        else:
            yield from _about_directory(config.origin(name), path)
    for name, path in made:
        if path is not None:
            yield from _about_directory(config.origin(name), path)


def _about_directory(origin: str, path: str) -> Iterator[str]:
    """Whether the file at `path` can be made, and removed."""
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        yield f"{origin}: there is no directory {directory}"
    elif not os.access(directory, os.W_OK | os.X_OK):
        yield f"{origin}: this user may not make files in {directory}"


def _about_tls(config: Config) -> Iterator[str]:
    if config.tls.ca_certs is not None and config.tls.cert_reqs == "none":
        yield (
            f"{config.origin('ssl_ca_certs')} does nothing without --ssl-cert-reqs: no client is "
            "asked for a certificate"
        )
    if config.origin("ssl_keyfile_password").startswith("--"):
        yield (
            "--ssl-keyfile-password shows in the list of processes: the variable "
            "FASTSERVE_SSL_KEYFILE_PASSWORD does not"
        )


def _about_http2(config: Config) -> Iterator[str]:
    if config.http.http == "1":
        for name in config.origins:
            if OPTIONS[name].subject == "http2":
                yield f"{config.origin(name)} does nothing with --http 1"


def _about_ends(certificates: Sequence[Facts]) -> Iterator[str]:
    for each in certificates:
        days = days_left(each)
        if days < 0:
            yield f"the certificate of {told(each)} has ended"
        elif days < _SOON:
            yield f"the certificate of {told(each)} ends in {days} days"


def _about_packages(config: Config) -> Iterator[str]:
    if config.admin.admin_bind is not None and not _is_installed("prometheus_client"):
        yield (
            f"/metrics of {config.origin('admin_bind')} needs prometheus-client, which is not "
            "installed: pip install 'fastserve[standard]'"
        )


def _about_variables() -> Iterator[str]:
    port = "FASTSERVE_PORT"
    if is_of_kubernetes(port, os.environ.get(port, "")):
        yield (
            f"{port} is not taken for the port: Kubernetes sets it for a service that is called "
            "fastserve"
        )


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


# -- telling ---------------------------------------------------------------------------


def _tell(line: str) -> None:
    _print(line, sys.stdout)


def _print(text: str, stream: TextIO) -> None:
    try:
        print(text, file=stream, flush=True)
    except OSError:
        # Nobody reads it any more. What stays in the buffer would fail again at the exit.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
