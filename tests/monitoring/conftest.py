"""The workspace that these tests serve from."""

from tests.serving.served import folder, template

__all__ = ["folder", "template"]
