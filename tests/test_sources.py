"""Sources of options, and which wins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fastserve.config import OPTIONS, Config
from fastserve.errors import ConfigError
from fastserve.sources import (
    from_config_file,
    from_env_files,
    from_environment,
    from_pyproject,
    gather,
    is_of_kubernetes,
)


def write(directory: Path, text: str, name: str = "pyproject.toml") -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


@pytest.fixture
def layered(tmp_path: Path) -> Callable[..., Config]:
    """Gathers with each source having port, and one option less than the one below it."""
    names = ["port", "backlog", "limit_concurrency", "limit_max_requests", "ws_max_queue"]

    def value_lines(number: int, how: str) -> str:
        return "\n".join(how.format(name) + f"={number}" for name in names[: 6 - number])

    pyproject = write(tmp_path, "[tool.fastserve]\n" + value_lines(1, "{}"))
    file = write(tmp_path, value_lines(2, "{}"), "prod.toml")
    variables = value_lines(3, "FASTSERVE_{}").upper()
    env_file = write(tmp_path, variables, "env")
    environment = {f"FASTSERVE_{name.upper()}": "4" for name in names[:2]}

    def gathered(**more: str) -> Config:
        given = {"port": ("5", "--port"), "config": (file, "--config")}
        given |= {"env_file": (env_file, "--env-file")}
        return gather("m:a", given, environment=environment | more, pyproject=pyproject)

    return gathered


def test_each_source_wins_over_those_below_it(
    layered: Callable[..., Config], tmp_path: Path
) -> None:
    config = layered()
    names = ["port", "backlog", "limit_concurrency", "limit_max_requests", "ws_max_queue"]
    assert [config.get(name) for name in names] == [5, 4, 3, 2, 1]
    assert config.process.workers is None
    assert [config.origin(name) for name in names] == [
        "--port",
        "FASTSERVE_BACKLOG",
        f"FASTSERVE_LIMIT_CONCURRENCY in {tmp_path / 'env'}",
        f"'limit_max_requests' in {tmp_path / 'prod.toml'}",
        f"'ws_max_queue' in [tool.fastserve] of {tmp_path / 'pyproject.toml'}",
    ]
    assert config.origin("workers") == "default"


def test_a_given_none_is_not_given() -> None:
    config = gather(
        "m:a", {"port": (None, "port")}, environment={"FASTSERVE_PORT": "2"}, pyproject=None
    )
    assert config.bind.port == 2


def test_an_alias_given_wins_over_the_name_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[tool.fastserve]\nlimit-request-head = '1k'\n")
    given = {"h11_max_incomplete_event_size": ("2k", "--h11-max-incomplete-event-size")}
    config = gather("m:a", given, environment={}, pyproject=path)
    assert config.limits.request_head == 2048


def test_the_environment_is_read_by_the_options_names() -> None:
    environment = {
        "FASTSERVE_LIMIT_REQUEST_BODY": "10m",
        "FASTSERVE_ACCESS_LOG": "no",
        "FASTSERVE_HEADERS": "x-a: 1\nx-b: 2",
    }
    config = gather("m:a", {}, environment=environment, pyproject=None)
    assert config.limits.request_body == 10 * 1024**2
    assert config.logging.access_log is False
    assert config.http.headers == ((b"x-a", b"1"), (b"x-b", b"2"))


def test_web_concurrency_is_the_number_of_workers_unless_ours_is_set() -> None:
    assert from_environment({"WEB_CONCURRENCY": "4"})["workers"] == ("4", "WEB_CONCURRENCY")
    both = {"WEB_CONCURRENCY": "4", "FASTSERVE_WORKERS": "2"}
    assert from_environment(both)["workers"] == ("2", "FASTSERVE_WORKERS")


def test_an_empty_variable_is_not_set() -> None:
    assert from_environment({"FASTSERVE_HOST": "", "FASTSERVE_PRT": ""}) == {}


KUBERNETES = {
    "FASTSERVE_SERVICE_HOST": "10.0.0.1",
    "FASTSERVE_SERVICE_PORT": "80",
    "FASTSERVE_SERVICE_PORT_HTTP": "80",
    "FASTSERVE_PORT": "tcp://10.0.0.1:80",
    "FASTSERVE_PORT_80_TCP": "tcp://10.0.0.1:80",
    "FASTSERVE_PORT_80_TCP_ADDR": "10.0.0.1",
    "FASTSERVE_PORT_80_TCP_PORT": "80",
    "FASTSERVE_PORT_80_TCP_PROTO": "tcp",
    "FASTSERVE_ADMIN_PORT": "udp://10.0.0.2:53",
}


def test_variables_of_a_kubernetes_service_are_no_options() -> None:
    assert all(is_of_kubernetes(name, value) for name, value in KUBERNETES.items())
    assert from_environment(KUBERNETES) == {}
    config = gather("m:a", {}, environment=KUBERNETES, pyproject=None)
    assert config.bind.port == OPTIONS["port"].default
    assert config.is_unbound


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("FASTSERVE_PRT", "FASTSERVE_PORT"),
        ("FASTSERVE_WORKER", "FASTSERVE_WORKERS"),
        ("FASTSERVE_HEADER", "FASTSERVE_HEADERS"),
        ("FASTSERVE_TIMEOUT_KEEPALIVE", "FASTSERVE_TIMEOUT_KEEP_ALIVE"),
        ("FASTSERVE_APPS", "FASTSERVE_APP"),
    ],
)
def test_a_variable_that_is_nearly_an_option_is_refused(
    tmp_path: Path, variable: str, meant: str
) -> None:
    message = f"{variable}: there is no such option; did you mean {meant}?"
    with pytest.raises(ConfigError) as caught:
        from_environment({variable: "4"})
    assert str(caught.value) == message
    path = write(tmp_path, f"{variable}=4", "env")
    with pytest.raises(ConfigError) as caught:
        from_env_files([path])
    assert str(caught.value) == message.replace(":", f" in {path}:", 1)


@pytest.mark.parametrize("name", ["BUILD", "TRIAL", "HANDOVER", "LOADED_VARIABLES", "REGION", "X"])
def test_other_variables_of_the_prefix_are_left_alone(name: str) -> None:
    assert from_environment({f"FASTSERVE_{name}": "1"}) == {}


def test_an_alias_is_a_variable_too() -> None:
    variable = "FASTSERVE_H11_MAX_INCOMPLETE_EVENT_SIZE"
    assert from_environment({variable: "2k"}) == {"limit_request_head": ("2k", variable)}


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^FASTSERVE_PORT: 'http' is not a whole"):
        gather("m:a", {}, environment={"FASTSERVE_PORT": "http"}, pyproject=None)


# -- files -----------------------------------------------------------------------------


def test_the_file_takes_hyphens_underscores_and_lists(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "[tool.fastserve]\naccess-log = false\nuse_colors = true\nheaders = ['x-a: 1']\n",
    )
    config = gather("m:a", {}, environment={}, pyproject=path)
    assert config.logging.access_log is False
    assert config.logging.use_colors is True
    assert config.http.headers == ((b"x-a", b"1"),)


READERS = {
    "pyproject.toml": (from_pyproject, "[tool.fastserve]\n", "[tool.fastserve] of {}"),
    "prod.toml": (from_config_file, "", "{}"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("limit-request-bdy = 1", "{}: there is no option 'limit-request-bdy'; did you mean "
         "'limit_request_body'?"),
        ("zzz = 1", "{}: there is no option 'zzz'"),
        ("logging.log-level = 'info'", "{}: there is no option 'logging': options stand there "
         "themselves, in no table of their own"),
        ("config = 'x.toml'", "{}: 'config': a file of options names no other"),
        ("uds-mode = 1\nuds_mode = 1", "'uds-mode' in {} and 'uds_mode' in {} are the same option"),
        ("limit-request-head = 1\nh11-max-incomplete-event-size = 1", "'limit-request-head' in {} "
         "and 'h11-max-incomplete-event-size' in {} are the same option"),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_is_told(tmp_path: Path, name: str, line: str, message: str) -> None:
    read, head, where = READERS[name]
    path = write(tmp_path, head + line, name)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value) == message.replace("{}", where.format(path))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("workers = 'four'", "'workers' in {}: 'four' is not a whole number"),
        ("access-log = 2", "'access-log' in {}: 2 is neither true nor false"),
        ("host = 1", "'host' in {}: 1 is not text"),
        ("timeout-write = 1979-05-27", "'timeout-write' in {}: datetime.date(1979, 5, 27) is not a "
         "number of seconds"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_told_with_file_and_key(
    tmp_path: Path, name: str, line: str, message: str
) -> None:
    read, head, where = READERS[name]
    path = write(tmp_path, head + line, name)
    with pytest.raises(ConfigError) as caught:
        Config("m:a", **_told(read(path)))
    assert str(caught.value) == message.replace("{}", where.format(path))


def _told(found: dict[str, tuple[object, str]]) -> dict[str, object]:
    values: dict[str, object] = {name: value for name, (value, _) in found.items()}
    return values | {"origins": {name: origin for name, (_, origin) in found.items()}}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"port = 1\nhost = x", r"Invalid value \(at line 2, column 8\)"),
        (b"port = 1\nport = 2", r"Cannot overwrite a value \(at .*\)"),
        (b"host = '\xff'", "it is not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_the_place(
    tmp_path: Path, name: str, text: bytes, why: str
) -> None:
    path = tmp_path / name
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=rf"^cannot read {path}: {why}$"):
        READERS[name][0](str(path))


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^cannot read {tmp_path}: Is a directory$"):
        READERS[name][0](str(tmp_path))


def test_a_table_of_the_tool_is_a_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pyproject.toml: \[tool.fastserve\] is not a table$"):
        from_pyproject(write(tmp_path, "tool = {fastserve = 3}"))
    with pytest.raises(ConfigError, match=r"pyproject.toml: \[tool.fastserve\] is not a table$"):
        from_pyproject(write(tmp_path, "tool = 3"))


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--config: there is no file 'nowhere.toml'$"):
        from_config_file("nowhere.toml")
    with pytest.raises(ConfigError, match=r"^--config: there is no file 'nowhere.toml'$"):
        gather("m:a", {}, environment={"FASTSERVE_CONFIG": "nowhere.toml"}, pyproject=None)


def test_paths_in_a_file_start_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    file = write(tmp_path, "env-file = 'env'\nlog-file = 'log'", "etc/prod.toml")
    write(tmp_path, "FASTSERVE_BACKLOG=7", "env")
    write(tmp_path, "FASTSERVE_BACKLOG=8", "etc/env")
    monkeypatch.chdir(tmp_path)
    config = gather("m:a", {"config": (file, "--config")}, environment={})
    assert config.bind.backlog == 7
    assert config.logging.log_file == "log"


def test_an_env_file_names_no_other_file(tmp_path: Path) -> None:
    for name in ("FASTSERVE_CONFIG", "FASTSERVE_ENV_FILE"):
        path = write(tmp_path, f"{name}=x", "env")
        with pytest.raises(ConfigError) as caught:
            from_env_files([path])
        assert str(caught.value) == f"{name} in {path}: a file of options names no other"


def test_the_number_of_workers_in_an_env_file_is_below_the_environments(tmp_path: Path) -> None:
    path = write(tmp_path, "FASTSERVE_WORKERS=2\n", "env")
    given = {"env_file": (path, "--env-file")}
    assert gather("m:a", given, environment={}, pyproject=None).process.workers == 2
    environment = {"WEB_CONCURRENCY": "4"}
    assert gather("m:a", given, environment=environment, pyproject=None).process.workers == 4


def test_an_argument_and_its_alias_are_the_same() -> None:
    given = {"limit_request_head": (1, "a"), "h11_max_incomplete_event_size": (2, "b")}
    with pytest.raises(ConfigError, match=r"^a and b are the same option$"):
        gather("m:a", given, environment={}, pyproject=None)


def test_no_file_and_no_table_are_no_options(tmp_path: Path) -> None:
    assert from_pyproject(str(tmp_path / "pyproject.toml")) == {}
    assert from_pyproject(write(tmp_path, "[project]\nname = 'x'\n")) == {}


def test_the_application_can_be_named_by_a_source(tmp_path: Path) -> None:
    path = write(tmp_path, "[tool.fastserve]\napp = 'file:app'\n")
    assert gather(None, {}, environment={}, pyproject=path).app == "file:app"
    environment = {"FASTSERVE_APP": "env:app"}
    assert gather(None, {}, environment=environment, pyproject=path).app == "env:app"
    assert gather("given:app", {}, environment=environment, pyproject=path).app == "given:app"


def test_no_application_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no application named"):
        gather(None, {}, environment={}, pyproject=None)
