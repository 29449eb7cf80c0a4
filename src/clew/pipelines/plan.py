"""The plan of a run: its steps, and which come before which; a step that is mapped a thousand times is one line."""

from typing import Any

from clew.pipelines.graph import Choice, Graph, Node


def plan_of(graph: Graph) -> list[dict[str, Any]]:
    """Every step in the order in which it was wired.

    Each has its `name`, `calls` (how many; null where a step decides that), `after` (the steps that it needs), `when`
    (the conditions it runs under, as text) and `where` (file and line of its call).
    """
    found: dict[str, dict[str, Any]] = {}
    for node in graph.nodes:
        entry = found.setdefault(
            node.step.name,
            {"name": node.step.name, "calls": 0, "after": [], "when": [], "where": _short(node.where)},
        )
        entry["calls"] = None if node.over or entry["calls"] is None else entry["calls"] + 1
        for name in _before(node):
            if name not in entry["after"] and name != node.step.name:
                entry["after"].append(name)
        for handle, holds in node.conditions:
            said = f"{_name(handle.node)} gives {holds}"
            if said not in entry["when"]:
                entry["when"].append(said)
    return list(found.values())


def _before(node: Node | Choice) -> list[str]:
    names: list[str] = []
    for one in node.upstream():
        names += _before(one) if isinstance(one, Choice) else [one.step.name]
    return names


def _name(node: Node | Choice) -> str:
    return node.step.name if isinstance(node, Node) else node.name


def _short(where: str) -> str:
    return where.rsplit("/", 1)[-1]
