"""A benchmark of sections, each with a part of its own in one JSON file and on one page."""
