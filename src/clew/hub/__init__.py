"""The pages and the API of a workspace: who is live, what made it, and the thread of each prediction."""

from clew.hub.app import create_app
from clew.hub.serve import Hub, prepare, serve

__all__ = ["Hub", "create_app", "prepare", "serve"]
