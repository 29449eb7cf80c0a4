"""The command of such a benchmark: its options are those of all its sections.

A section is a module `section_NAME` with `options(parser)`, `measure(given)`, which prints its table and returns its
figures (`missed` among them, what misses its limit), and `markdown(figures)`, its part of the page.
"""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from in_sections import page

_PARTS = Path(__file__).parents[1]


def main(description: str, package: str, name: str, head: str) -> None:
    """Measure the sections that are asked for; exit code 1 when one misses a limit."""
    found = sorted(path.stem.removeprefix("section_") for path in (_PARTS / package).glob("section_*.py"))
    modules = {section: import_module(f"{package}.section_{section}") for section in found}
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"all, or some of: {', '.join(modules)}")
    parser.add_argument("--json", type=Path, default=Path(f"bench-results/{name}.json"), help="where the figures go")
    parser.add_argument("--markdown", type=Path, help="the page to write the sections into")
    for module in modules.values():
        module.options(parser)
    given = parser.parse_args()
    unknown = set(given.sections) - set(modules)
    if unknown:
        parser.error(f"no section is called {', '.join(sorted(unknown))}; there are: {', '.join(modules)}")
    missed = False
    for section in given.sections or modules:
        figures = modules[section].measure(given)
        _add(given.json, section, figures)
        print(json.dumps({section: figures}))
        missed = missed or bool(figures.get("missed"))
        if given.markdown is not None:
            page.write(given.markdown, head, section, modules[section].markdown(figures))
    sys.exit(1 if missed else 0)


def _add(path: Path, section: str, figures: dict[str, Any]) -> None:
    held = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(held | {section: figures}, indent=2) + "\n")
