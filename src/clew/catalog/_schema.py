"""Which schema this version of clew works with; apart, so that a glance at a catalog needs no SQLAlchemy."""

from typing import Final

SCHEMA: Final = "0006"
"""The newest migration that this version of clew knows."""
