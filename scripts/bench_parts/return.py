"""The way back, measured: `scripts/bench return [SECTION…]`; each section is a module of `way_back/`.

    scripts/bench return thread --runs 100000 --predictions 10000000 --markdown docs/benchmarks/return.md

Each section prints its figures and whether its limits are met, adds them to a JSON file, and with `--markdown` writes
its own part of that page, leaving what other sections wrote.
"""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]  # way_back, and tests.servers

SECTIONS = tuple(
    sorted(path.stem.removeprefix("section_") for path in (Path(__file__).parent / "way_back").glob("section_*.py"))
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"all, or some of: {', '.join(SECTIONS)}")
    parser.add_argument("--json", type=Path, default=Path("bench-results/return.json"), help="where the figures go")
    parser.add_argument("--markdown", type=Path, help="the page to write the sections into")
    modules = {name: import_module(f"way_back.section_{name}") for name in SECTIONS}
    for module in modules.values():
        module.options(parser)
    given = parser.parse_args()
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no section is called {', '.join(sorted(unknown))}; there are: {', '.join(SECTIONS)}")
    from way_back import page

    missed = False
    for name in given.sections or SECTIONS:
        found = modules[name].measure(given)
        figures = json.loads(given.json.read_text()) if given.json.exists() else {}
        figures[name] = found
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
        print(json.dumps({name: found}))
        missed = missed or bool(found.get("missed"))
        if given.markdown is not None:
            page.write(given.markdown, name, modules[name].markdown(found))
    sys.exit(1 if missed else 0)


main()
