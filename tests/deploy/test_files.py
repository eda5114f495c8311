"""The files of deploy/ and the commands of the deployment page: valid, and of one mind."""

from __future__ import annotations

import json
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.site import DEPLOY, HAPROXY, NGINX, PASS_THROUGH, rendered, write_nginx

from fastserve.cli import check_command, command
from fastserve.config import ALIASES, OPTIONS, Config
from fastserve.kinds import Size
from fastserve.presets import PRESETS
from fastserve.stopping import Stop, longest_stop

PAGE = DEPLOY.parent / "docs" / "deployment.md"
UNIT = DEPLOY / "systemd" / "fastserve.service"
SOCKET = DEPLOY / "systemd" / "fastserve.socket"
FORWARDED = {f"x-forwarded-{word}" for word in ("for", "proto", "host", "port", "prefix")}
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


# -- what the files hold ---------------------------------------------------------------


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def deployment() -> Any:
    return loaded(DEPLOY / "kubernetes" / "deployment.yaml")


def pod() -> Any:
    return deployment()["spec"]["template"]["spec"]


def container() -> Any:
    (found,) = pod()["containers"]
    return found


def compose() -> Any:
    return loaded(DEPLOY / "container" / "compose.yaml")


def setting(file: Path, name: str) -> str:
    """The value of a key of a unit file, its continued lines joined."""
    found = re.search(rf"^{name}=((?:.*\\\n)*.*)", file.read_text(), re.M)
    assert found is not None, f"{file} has no {name}"
    return found[1].replace("\\\n", " ")


def found_in(file: Path, pattern: str) -> str:
    found = re.search(pattern, file.read_text())
    assert found is not None, f"{file} has no {pattern}"
    return found[1]


def image_command() -> list[str]:
    text = (DEPLOY / "container" / "Dockerfile").read_text()
    (entry,), (arguments,) = (
        re.findall(rf"^{word} (\[.*\])", text, re.M) for word in ("ENTRYPOINT", "CMD")
    )
    assert json.loads(entry) == ["fastserve"]
    found = json.loads(arguments)
    assert isinstance(found, list)
    return found


def page_commands() -> list[str]:
    """Every line of the page that runs fastserve, and every command named within one."""
    text = PAGE.read_text().replace("\\\n", " ")
    lines = re.findall(r"^ *(?:\$ |ExecStart=)\S*\b(fastserve .*)", text, re.M)
    return lines + re.findall(r"`(fastserve [^`]+)`", text)


def shipped() -> dict[str, list[str]]:
    """The arguments of fastserve in each file."""
    return {
        "unit": shlex.split(setting(UNIT, "ExecStart"))[1:],
        "deployment": container()["args"],
        "image": image_command(),
        "compose": compose()["services"]["app"]["command"],
    }


def understood(arguments: list[str]) -> Config:
    """The configuration that the command line makes of them."""
    kind, name = command, "fastserve"
    if arguments[:1] == ["check"]:
        kind, name, arguments = check_command, "fastserve check", arguments[1:]
    values = dict(kind().make_context(name, list(arguments)).params)
    given = {n: v for n, v in values.items() if n in OPTIONS and v is not None and v != ()}
    return Config(values["app"], **given)


def config_of(name: str) -> Config:
    return understood(shipped()[name])


def seconds(text: str) -> float:
    """A duration as the programs write it."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "": 1}
    found = re.fullmatch(r"(\d+)(ms|s|m|h|)", text)
    assert found is not None, text
    return int(found[1]) * units[found[2]]


# -- each for itself -------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_command_is_understood(name: str) -> None:
    assert config_of(name).app == "main:app"


@pytest.mark.parametrize("line", page_commands())
def test_every_command_of_the_page_is_understood(line: str) -> None:
    assert understood(shlex.split(line)[1:]).app in (None, "main:app")


def test_every_option_the_page_names_exists() -> None:
    known = {flag for each in OPTIONS.values() for flag in each.flags}
    known |= {"--" + alias.replace("_", "-") for alias in ALIASES}
    known |= {"--all", "--import-only"}  # of fastserve check
    named = set(re.findall(r"`(--[a-z-]+)", PAGE.read_text()))
    assert named
    assert named <= known


def test_every_file_the_page_links_to_is_there_and_none_is_left_out() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGE.read_text())
    linked = {(PAGE.parent / each).resolve() for each in links}
    assert [each for each in linked if not each.exists()] == []
    shipped_files = {each for each in DEPLOY.rglob("*") if each.is_file()}
    assert {each for each in shipped_files - linked if each.suffix != ".dockerignore"} == set()


def test_the_page_tells_every_signal_the_supervisor_obeys() -> None:
    from fastserve.supervision.children import OBEYED

    table = PAGE.read_text().partition("## Signals\n")[2].partition("\n## ")[0]
    for number in OBEYED - {signal.SIGCHLD}:
        assert signal.Signals(number).name in table


@needs("nginx")
@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="serves a Unix socket")
def test_nginx_accepts_the_file_as_it_is(tmp_path: Path) -> None:
    try:
        socket.create_server(("", 80)).close()
    except PermissionError:
        pytest.skip("port 80 may not be listened on")
    except OSError:
        pass  # in use: nginx says nothing of that when it tests
    main = write_nginx(tmp_path, {})
    done = run("nginx", "-t", "-p", str(tmp_path), "-c", str(main), "-e", "stderr")
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


@needs("haproxy")
@pytest.mark.parametrize("file", [HAPROXY, PASS_THROUGH], ids=lambda file: file.stem)
def test_haproxy_accepts_the_file_as_it_is(file: Path) -> None:
    try:
        pwd.getpwnam("haproxy")
    except KeyError:
        pytest.skip("haproxy's user does not exist")
    done = run("haproxy", "-c", "-f", str(file))
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


@needs("systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """But for the command's path, which does not exist here."""
    program = setting(UNIT, "ExecStart").split()[0]
    (tmp_path / UNIT.name).write_text(rendered(UNIT, {program: sys.executable}))
    (tmp_path / SOCKET.name).write_text(SOCKET.read_text())
    done = run("systemd-analyze", "verify", str(tmp_path / UNIT.name), str(tmp_path / SOCKET.name))
    assert (done.returncode, done.stderr) == (0, "")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_manifest_is_of_the_same_application(path: Path) -> None:
    manifest = loaded(path)
    assert {"apiVersion", "kind", "metadata", "spec"} <= set(manifest)
    labels = deployment()["spec"]["template"]["metadata"]["labels"]
    selector = manifest["spec"]["selector"]
    wanted = selector.get("matchLabels", selector)
    assert wanted
    assert wanted.items() <= labels.items()


# -- of one mind -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "grace"),
    [
        ("unit", seconds(setting(UNIT, "TimeoutStopSec"))),
        ("deployment", pod()["terminationGracePeriodSeconds"]),
        ("compose", seconds(compose()["services"]["app"]["stop_grace_period"])),
    ],
)
def test_what_stops_the_server_waits_for_all_its_phases(name: str, grace: float) -> None:
    """The workers first, then the admin process, for which an open request is no reason to wait."""
    config = config_of(name)
    longest = longest_stop(config, Stop.of(config))
    assert longest is not None
    assert grace >= longest + 5


def test_the_ports_are_those_the_server_listens_on() -> None:
    config = config_of("deployment")
    assert config.admin.admin_bind is not None
    ports = {each["name"]: each["containerPort"] for each in container()["ports"]}
    assert ports == {"http": config.bind.port, "admin": config.admin.admin_bind.port}
    for probe, path in (("startup", "readyz"), ("readiness", "readyz"), ("liveness", "livez")):
        asked = container()[f"{probe}Probe"]["httpGet"]
        assert asked == {"path": f"/{path}", "port": "admin"}
    (served,) = loaded(DEPLOY / "kubernetes" / "service.yaml")["spec"]["ports"]
    assert served["targetPort"] == "http"
    (scraped,) = loaded(DEPLOY / "kubernetes" / "pod-monitor.yaml")["spec"]["podMetricsEndpoints"]
    assert (scraped["port"], scraped["path"]) == ("admin", "/metrics")
    annotations = deployment()["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["admin"])


def test_the_image_exposes_and_checks_the_ports_it_serves() -> None:
    text = (DEPLOY / "container" / "Dockerfile").read_text()
    config = config_of("image")
    assert config.admin.admin_bind is not None
    assert f"EXPOSE {config.bind.port} {config.admin.admin_bind.port}\n" in text
    assert f"http://127.0.0.1:{config.admin.admin_bind.port}/readyz" in text
    assert config.bind.host == config.admin.admin_bind.host == "0.0.0.0"


def test_the_workers_reach_their_limit_of_memory_before_the_pod_does() -> None:
    config = config_of("deployment")
    most = Size()(container()["resources"]["limits"]["memory"].removesuffix("i").lower())
    workers = config.worker_count * config.limits.worker_memory
    assert 0 < workers <= most * 2 / 3


def test_all_agree_on_the_largest_body() -> None:
    proxy = Size()(found_in(NGINX, r"client_max_body_size (\w+);"))
    limits = {config_of(n).limits.request_body for n in ("unit", "deployment", "compose")}
    assert limits == {proxy}


def test_the_proxy_is_the_one_that_closes_what_is_idle() -> None:
    for name in shipped():
        timeouts = config_of(name).timeouts
        assert seconds(found_in(NGINX, r"keepalive_timeout (\w+);")) < timeouts.keep_alive
        assert seconds(found_in(HAPROXY, r"pool-purge-delay (\w+)")) < timeouts.keep_alive
        assert seconds(found_in(NGINX, r"send_timeout (\w+);")) < timeouts.write


def test_the_server_notices_a_lost_websocket_before_the_proxy_cuts_it() -> None:
    """And three pings pass before a proxy takes silence for an end."""
    silence = seconds(found_in(NGINX, r"proxy_read_timeout (\w+);"))
    silence = min(silence, seconds(found_in(HAPROXY, r"timeout tunnel (\w+)")))
    for name in shipped():
        websocket = config_of(name).websocket
        assert websocket.ping_interval * 3 <= silence
        assert websocket.ping_interval + websocket.ping_timeout < silence


def test_what_a_preset_believes_is_what_the_proxy_sets() -> None:
    """And what it does not believe is dropped, all but what Cloudflare alone sends."""
    others = {*FORWARDED, "forwarded", "x-real-ip"}
    nginx = dict(re.findall(r"proxy_set_header ([\w-]+) (.+);", NGINX.read_text()))
    haproxy = re.findall(r"http-request (set|del)-header ([\w-]+)", HAPROXY.read_text())
    for name, found in (
        ("nginx", {field.lower(): value != '""' for field, value in nginx.items()}),
        ("haproxy", {field.lower(): verb == "set" for verb, field in haproxy}),
    ):
        believed = set(PRESETS[name]["forwarded_headers"])  # type: ignore[call-overload]
        assert {field for field in others if found.get(field)} == believed
        assert {field for field in others if found.get(field) is False} == others - believed


def test_what_is_shipped_with_a_proxy_says_so() -> None:
    assert config_of("unit").proxies.behind == config_of("compose").proxies.behind == "nginx"


def test_the_page_tells_the_two_lines_that_nginx_needs_for_websockets() -> None:
    section = PAGE.read_text().partition("## WebSockets\n")[2].partition("\n## ")[0]
    example = section.partition("```nginx\n")[2].partition("```")[0]
    lines = [line.partition("#")[0].strip() for line in example.splitlines()]
    assert len(lines) == 2
    assert set(lines) <= {line.strip() for line in NGINX.read_text().splitlines()}


def test_the_proxy_connects_to_where_the_server_listens() -> None:
    path = found_in(NGINX, r"server unix:(\S+)")
    assert setting(SOCKET, "ListenStream") == path
    assert config_of("compose").bind.uds == path
    assert f"unix@{path} " in HAPROXY.read_text()
    assert config_of("unit").is_unbound


def test_haproxy_asks_where_the_server_tells() -> None:
    admin = config_of("unit").admin.admin_bind
    assert admin is not None
    assert found_in(HAPROXY, r"check port (\d+) inter") == str(admin.port)
    assert found_in(HAPROXY, r"http-check send meth GET uri (\S+)") == "/readyz"
