"""Sources of options, and which wins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastserve.errors import ConfigError
from fastserve.sources import from_environment, from_pyproject, gather, load_env_file


def write(directory: Path, text: str) -> str:
    path = directory / "pyproject.toml"
    path.write_text(text)
    return str(path)


def test_given_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    path = write(tmp_path, "[tool.fastserve]\nport = 1\nbacklog = 1\nhost = 'file'\n")
    environment = {"FASTSERVE_PORT": "2", "FASTSERVE_BACKLOG": "2"}
    config = gather("m:a", {"port": ("3", "--port")}, environment=environment, pyproject=path)
    assert (config.bind.port, config.bind.backlog, config.bind.host) == (3, 2, "file")
    assert config.process.workers is None
    assert config.origin("port") == "--port"
    assert config.origin("backlog") == "FASTSERVE_BACKLOG"
    assert config.origin("host") == f"'host' in [tool.fastserve] of {path}"


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


def test_empty_variables_and_those_of_a_kubernetes_service_are_no_options() -> None:
    assert from_environment({"FASTSERVE_HOST": "", "FASTSERVE_SERVICE_HOST": "10.0.0.1"}) == {}


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^FASTSERVE_PORT: 'tcp://10.0.0.1:80' is not a whole"):
        gather("m:a", {}, environment={"FASTSERVE_PORT": "tcp://10.0.0.1:80"}, pyproject=None)


def test_the_file_takes_hyphens_underscores_and_lists(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "[tool.fastserve]\naccess-log = false\nuse_colors = true\nheaders = ['x-a: 1']\n",
    )
    config = gather("m:a", {}, environment={}, pyproject=path)
    assert config.logging.access_log is False
    assert config.logging.use_colors is True
    assert config.http.headers == ((b"x-a", b"1"),)


def test_an_unknown_key_of_the_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "[tool.fastserve]\nlimit-request-bdy = 1\n")
    with pytest.raises(
        ConfigError, match=r"'limit-request-bdy'; did you mean 'limit_request_body'"
    ):
        from_pyproject(path)


@pytest.mark.parametrize(
    "text", ["[tool.fastserve", "tool = {fastserve = 3}"], ids=["no TOML", "no table"]
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=r"pyproject\.toml"):
        from_pyproject(path)


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


def test_an_env_file_adds_variables_and_keeps_those_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FS_TEST_OLD", "kept")
    monkeypatch.setenv("FS_TEST_NEW", "")  # so that it is removed afterwards
    monkeypatch.delenv("FS_TEST_NEW")
    (tmp_path / "env").write_text("FS_TEST_OLD=changed\nFS_TEST_NEW=added\n")
    load_env_file(str(tmp_path / "env"))
    assert (os.environ["FS_TEST_OLD"], os.environ["FS_TEST_NEW"]) == ("kept", "added")
    with pytest.raises(ConfigError, match="no file 'nowhere'"):
        load_env_file("nowhere")
