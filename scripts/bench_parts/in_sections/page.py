"""A page of figures in sections, each written by its own benchmark and kept when another one writes."""

import re
from pathlib import Path


def write(path: Path, head: str, section: str, text: str) -> None:
    """Replace a section of the page, or add it; a page that isn't there yet begins with the head."""
    page = path.read_text() if path.exists() else head
    begin, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
    part = f"{begin}\n{text.strip()}\n{end}"
    if begin in page:
        page = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: part, page, flags=re.DOTALL)
    else:
        page = f"{page.rstrip()}\n\n{part}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)
