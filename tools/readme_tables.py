"""Puts the first table of each results page that a page names between its markers.

python tools/readme_tables.py           # renews README.md and docs/operations.md
python tools/readme_tables.py --check   # fails if that would change it
"""

from __future__ import annotations

import re
import sys
from itertools import dropwhile, takewhile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/operations.md")
MARKED = re.compile(r"(<!-- table: (?P<page>\S+) -->\n).*?(<!-- end of table -->)", re.S)


def first_table(page: str) -> str:
    """The first Markdown table of a page, whole."""
    lines = dropwhile(lambda line: not line.startswith("|"), page.splitlines())
    return "".join(f"{line}\n" for line in takewhile(lambda line: line.startswith("|"), lines))


def renewed(text: str, root: Path = ROOT) -> str:
    """The page with its tables as the results now are; a missing page empties its table."""

    def fill(match: re.Match[str]) -> str:
        page = root / match["page"]
        table = first_table(page.read_text()) if page.exists() else ""
        return f"{match[1]}{table}{match[3]}"

    return MARKED.sub(fill, text)


def main(arguments: list[str]) -> int:
    stale = 0
    for page in PAGES:
        path = ROOT / page
        before = path.read_text()
        after = renewed(before)
        if "--check" not in arguments:
            path.write_text(after)
        elif after != before:
            print(f"{page}: run python tools/readme_tables.py")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
