"""What crosses all rooms: the way back from a prediction to what made it."""

from clew.thread.text import describe
from clew.thread.why import why

__all__ = ["describe", "why"]
