"""How each kind of personal data is told from what looks like it: a quick pattern for columns, a proof for candidates.

Quick patterns run inside polars (no look-around) and may match too much. A proof decides in Python, and gives the part
of a text that is personal.
"""
