"""The configuration of a server, as data: the options of `subjects`, put together and checked.

Nothing is opened or imported here, and no environment is read (`sources` does that).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fastserve.errors import ConfigError
from fastserve.options import Option, options_of
from fastserve.presets import PRESETS
from fastserve.subjects import (
    SUBJECTS,
    Admin,
    Application,
    Bind,
    Http,
    Http2,
    Limits,
    Logging,
    Process,
    Proxies,
    Reload,
    Timeouts,
    Tls,
    WebSocket,
)

__all__ = [
    "ALIASES",
    "OPTIONS",
    "SUBJECTS",
    "Admin",
    "Application",
    "Bind",
    "Config",
    "Http",
    "Http2",
    "Limits",
    "Logging",
    "Process",
    "Proxies",
    "Reload",
    "Timeouts",
    "Tls",
    "WebSocket",
    "find_option",
    "title",
]

OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        each.name: each
        for subject, (cls, prefix) in SUBJECTS.items()
        for each in options_of(subject, cls, prefix)
    }
)
ALIASES: Mapping[str, str] = MappingProxyType(
    {alias: each.name for each in OPTIONS.values() for alias in each.aliases}
)


def title(subject: str) -> str:
    """The heading of a subject's options."""
    written = {"http": "HTTP", "http2": "HTTP/2", "tls": "TLS", "websocket": "WebSocket"}
    return written.get(subject, subject.capitalize())


def find_option(name: str) -> Option:
    """The option called `name`, or by an alias of it.

    Raises `ConfigError` for an unknown name, with the nearest known one if one is near.
    """
    found = OPTIONS.get(ALIASES.get(name, name))
    if found is None:
        near = difflib.get_close_matches(name, [*OPTIONS, *ALIASES], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"there is no option {name!r}{hint}")
    return found


@dataclass(frozen=True, init=False)
class Config:
    """The options of one server.

    `Config("main:app", port=9000, limit_request_body="10m")`: the application as an
    import string, a path or an ASGI callable, then options by name; an option that is
    `None` has its default. `origins` says, for messages, where each value came from.
    Raises `ConfigError` for an unknown option or an unfit value.
    """

    app: object
    application: Application
    bind: Bind
    proxies: Proxies
    tls: Tls
    process: Process
    http: Http
    http2: Http2
    websocket: WebSocket
    limits: Limits
    timeouts: Timeouts
    logging: Logging
    admin: Admin
    reload: Reload
    origins: Mapping[str, str] = field(compare=False, repr=False)

    def __init__(
        self, app: object, *, origins: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        told = dict(origins or {})
        values: dict[str, dict[str, object]] = {subject: {} for subject in SUBJECTS}
        known: dict[str, str] = {}
        for name, value in options.items():
            each = find_option(name)
            if value is None:
                continue
            origin = told.get(name, name)
            if each.name in known:
                raise ConfigError(f"{known[each.name]} and {origin} are the same option")
            known[each.name] = origin
            try:
                values[each.subject][each.attribute] = each.kind(value)
            except ValueError as error:
                raise ConfigError(f"{origin}: {error}") from None
        behind = values["proxies"].get("behind")
        for name, value in PRESETS[str(behind)].items() if behind is not None else ():
            each = OPTIONS[name]
            if name not in known:
                known[name] = f"--behind {behind}"
                values[each.subject][each.attribute] = value
        self._set(app=app, origins=known)
        for subject, (cls, _) in SUBJECTS.items():
            self._set(**{subject: cls(**values[subject])})
        self._check()

    def _set(self, **attributes: object) -> None:
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def _check(self) -> None:
        """What no option can say alone."""
        self._exclude("uds", "fd", because="a server listens on one of them")
        for name in ("host", "port", "uds", "fd"):
            self._exclude("bind", name, because="say it all with the first")
        self._exclude("preload", "reload", because="a preloaded application stays as it is")
        self._check_tls()
        self._check_windows()
        if self.is_supervised and not isinstance(self.app, str):
            said = next(n for n in ("workers", "reload", "preload") if n in self.origins)
            raise ConfigError(
                f"{self.origin(said)}: workers each import the application, so it must be an "
                "import string such as 'main:app', not an object"
            )
        if isinstance(self.app, str) and not self.app.strip():
            raise ConfigError("the application's name is empty; name it as in 'main:app'")

    def _check_tls(self) -> None:
        tls = self.tls
        if not tls.is_on:
            others = [name for name, each in OPTIONS.items() if each.subject == "tls"]
            for name in [*others, "insecure_bind", "redirect_insecure"]:
                if self._is_said(name) and self.get(name) != find_option(name).default:
                    raise ConfigError(f"{self.origin(name)} needs --ssl-certfile")
        if tls.keyfile and len(tls.keyfile) != len(tls.certfile):
            raise ConfigError(
                f"{self.origin('ssl_keyfile')}: there are {len(tls.keyfile)} keys for "
                f"{len(tls.certfile)} certificates"
            )
        if tls.context_factory is None and tls.ca_certs is None:
            for name in ("ssl_cert_reqs", "ssl_crlfile"):
                if self.get(name) not in ("none", None):
                    raise ConfigError(f"{self.origin(name)} needs --ssl-ca-certs")
        for place in self.bind.insecure_bind:
            if place in self.bind.places and (place.port or place.host is None):
                raise ConfigError(f"{self.origin('insecure_bind')}: {place} is already for TLS")
        if self.bind.redirect_insecure and not (self.bind.insecure_bind or self.is_unbound):
            raise ConfigError(f"{self.origin('redirect_insecure')} needs --insecure-bind")
        if self.is_supervised and callable(tls.context_factory):
            raise ConfigError(
                f"{self.origin('ssl_context_factory')}: workers each import it, so it must be an "
                "import string such as 'main:make_context', not an object"
            )

    def _check_windows(self) -> None:
        for whose in ("stream", "connection"):
            first, most = f"http2_initial_{whose}_window_size", f"http2_max_{whose}_window_size"
            if self._is_said(most) and int(str(self.get(most))) < int(str(self.get(first))):
                raise ConfigError(
                    f"{self.origin(most)}: {self.get(most)} is less than "
                    f"--{first.replace('_', '-')} ({self.get(first)})"
                )

    def _exclude(self, one: str, other: str, *, because: str) -> None:
        if self._is_said(one) and self._is_said(other):
            raise ConfigError(
                f"{self.origin(one)} and {self.origin(other)} exclude each other: {because}"
            )

    def _is_said(self, name: str) -> bool:
        """Whether the option was given, other than as no or as an empty list; 0 is a value."""
        value = self.get(name)
        return name in self.origins and value is not False and value != ()

    @property
    def is_supervised(self) -> bool:
        """Whether workers serve under a supervisor, rather than this one process."""
        return self.process.workers is not None or self.process.preload or self.reload.reload

    @property
    def is_unbound(self) -> bool:
        """Whether nobody has said where to listen, so that the service manager may."""
        return not {"bind", "host", "port", "uds", "fd"} & set(self.origins)

    @property
    def believes_anybody(self) -> bool:
        """Whether any peer is taken for a proxy: they are counted, and nobody says which."""
        return bool(self.proxies.forwarded_hops) and "forwarded_allow_ips" not in self.origins

    @property
    def worker_count(self) -> int:
        return self.process.workers or 1

    def get(self, name: str) -> object:
        """The value of the option called `name`."""
        each = find_option(name)
        return getattr(getattr(self, each.subject), each.attribute)

    def origin(self, name: str) -> str:
        """Where the option's value came from: a flag, a variable, a file's key, 'default'."""
        return self.origins.get(find_option(name).name, "default")

    def for_admin(self) -> Config:
        """What the server of metrics and health runs with; its application is handed to it."""
        place = self.admin.admin_bind
        return Config(
            self.app,
            bind=(place,) if place is not None else None,
            uds_mode=self.bind.uds_mode,
            loop=self.process.loop,
            http="1",
            ws="none",
            warn_blocked_loop=self.process.warn_blocked_loop,
            timeout_graceful_shutdown=1.0,
            access_log=False,
            log_file=self.logging.log_file,
            log_format=self.logging.message_format,
            log_level=self.logging.log_level,
            log_config=self.logging.log_config,
            use_colors=self.logging.use_colors,
        )
