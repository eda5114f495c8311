"""The pages that say which test shows which rule of a standard name tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGES = sorted((TESTS.parent / "docs" / "design").glob("*conformance.md"))


def names_of(path: Path) -> set[str]:
    """The tests in a file."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_of_conformance_names_only_tests_that_exist(page: Path) -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", page.read_text())
    assert named
    known: dict[str, set[str]] = {}
    for file, test in named:
        if file not in known:
            known[file] = names_of(TESTS / file)
        assert test in known[file], f"{page.name}: there is no {test} in {file}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_rule_of_a_page_of_conformance_is_shown_by_a_test(page: Path) -> None:
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    rules = [row for row in rows if not row.startswith("| section |")]
    assert rules
    assert not [row for row in rules if "::test_" not in row]
