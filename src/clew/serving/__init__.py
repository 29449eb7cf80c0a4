"""Serving: endpoints, routes, the server, and the journal of predictions and outcomes."""

from typing import TYPE_CHECKING

from clew._lazy import lazy

if TYPE_CHECKING:
    from clew.serving.routing import Route, Target, all_endpoints, create_endpoint, current_route

__all__ = [
    "Route",
    "Target",
    "all_endpoints",
    "create_endpoint",
    "current_route",
]

__getattr__ = lazy(
    __name__,
    {
        "Route": "clew.serving.routing",
        "Target": "clew.serving.routing",
        "all_endpoints": "clew.serving.routing",
        "create_endpoint": "clew.serving.routing",
        "current_route": "clew.serving.routing",
    },
)
