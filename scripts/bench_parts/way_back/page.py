"""A page of figures in sections, each written by its own benchmark and kept when another one writes."""

import re
from pathlib import Path

_HEAD = """# The way back: figures

Made by `scripts/bench return`, a section each; see the head of `scripts/bench_parts/return.py`.
"""


def write(path: Path, section: str, text: str) -> None:
    """Replace a section of the page, or add it."""
    page = path.read_text() if path.exists() else _HEAD
    begin, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
    part = f"{begin}\n{text.strip()}\n{end}"
    if begin in page:
        page = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: part, page, flags=re.DOTALL)
    else:
        page = f"{page.rstrip()}\n\n{part}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)
