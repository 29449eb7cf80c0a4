"""How the steps of a pipeline ran before: what changed since, and how long each took."""

import uuid
from collections.abc import Sequence

import sqlalchemy as sa

from clew.catalog import Catalog
from clew.catalog.tables import builds
from clew.pipelines import keys
from clew.pipelines.context import Prepared
from clew.pipelines.graph import Node


class Before:
    """The steps of earlier runs of a pipeline, looked up once.

    Args:
        catalog: has them.
        name: the pipeline's name.
        run_id: the run that is under way, which doesn't count.
    """

    def __init__(self, catalog: Catalog, name: str, run_id: str) -> None:
        self._catalog = catalog
        self._name = name
        self._run_id = run_id
        self._known: dict[str, tuple[str, float | None]] | None = None

    def say_why(self, calls: Sequence[Prepared]) -> None:
        """Say why these aren't cached, in words: what changed since each last ran."""
        newest = self._newest() if any(one.node.step.cache for one in calls) else {}
        ids = {one.node: newest[one.node.name][0] for one in calls if one.node.name in newest}
        s = builds.steps.c
        query = sa.select(s.id, s.key_parts).where(s.id.in_(ids.values()))
        before = {str(row.id): row.key_parts for row in self._catalog.rows(query)} if ids else {}
        for one in calls:
            if not one.node.step.cache:
                one.why = "it is declared cache=False"
            elif one.node not in ids:
                one.why = "it has not run before"
            else:
                changed = keys.difference(before[ids[one.node]], one.parts)
                one.why = "; ".join(changed) if changed else "it was not cached before"

    def seconds(self, nodes: Sequence[Node]) -> float | None:
        """How long these took when they last ran; None when any of them hasn't run before."""
        known = self._newest()
        found = [known.get(node.name, known.get(node.step.name, ("", None)))[1] for node in nodes]
        return None if None in found else sum(one for one in found if one is not None)

    def _newest(self) -> dict[str, tuple[str, float | None]]:
        """The newest step of each name in earlier runs of this pipeline: its id, and its longest time in seconds."""
        if self._known is None:
            s, r = builds.steps.c, builds.runs.c
            micros = sa.type_coerce(s.ended_at, sa.BigInteger) - sa.type_coerce(s.recorded_at, sa.BigInteger)
            rows = self._catalog.rows(
                sa.select(
                    s.name,
                    sa.func.max(sa.cast(s.id, sa.String)).label("newest"),  # ids follow the order of making
                    sa.func.max(sa.case((s.state == "ran", micros))).label("micros"),
                )
                .join(builds.runs, r.id == s.run_id)
                .where(r.name == self._name, r.id != self._run_id)
                .where(s.state.in_(("ran", "cached")), s.key_parts.is_not(None))
                .group_by(s.name)
            )
            self._known = {
                row.name: (str(uuid.UUID(row.newest)), None if row.micros is None else float(row.micros) / 1e6)
                for row in rows
            }
        return self._known
