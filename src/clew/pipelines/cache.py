"""Results by key: what a step gave before, as long as all of it is still there and whole."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from clew.catalog.commands import ArtifactSpec, ForgetStep
from clew.catalog.tables import builds
from clew.errors import IntegrityError, NotFoundError
from clew.pipelines.values import Stored
from clew.workspace import Workspace

_AT_ONCE = 500  # keys in one question


class Cache:
    """The results of a workspace, by key."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._whole: set[str] = set()  # digests of objects that were verified in this run
        self.notes: dict[str, str] = {}
        """Why a key's results couldn't be used, by key."""

    def find(self, wanted: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Stored]]:
        """What these keys gave; those that gave other outputs than wanted, or whose results are damaged, are left out.

        Args:
            wanted: the names of the outputs, by key.
        """
        keys = list(wanted)
        found: dict[str, dict[str, Stored]] = {}
        for start in range(0, len(keys), _AT_ONCE):
            by_key = self._rows(keys[start : start + _AT_ONCE])
            for key, rows in by_key.items():
                if {row.name for row in rows} == set(wanted[key]) and self._is_whole(key, rows):
                    found[key] = {row.name: Stored(_spec(row)) for row in rows}
        return found

    def _rows(self, keys: Sequence[str]) -> dict[str, list[sa.Row[Any]]]:
        found: dict[str, list[sa.Row[Any]]] = defaultdict(list)
        for row in self._workspace.catalog.rows(_OF_KEYS, {"keys": list(keys)}):
            found[row.cache_key].append(row)
        return found

    def _is_whole(self, key: str, rows: Sequence[sa.Row[Any]]) -> bool:
        for row in rows:
            damage = row.state if row.state != "live" else None if row.body is not None else self._damage(row.digest)
            if damage is not None:
                self.notes[key] = damage
                self._workspace.catalog.execute(ForgetStep(cache_key=key, reason=damage))
                if damage != row.state and self._workspace.objects.exists(row.digest):
                    self._workspace.objects.delete(row.digest)
                return False
        return True

    def _damage(self, digest: str) -> str | None:
        if digest not in self._whole:
            try:
                self._workspace.objects.verify(digest)
            except (NotFoundError, IntegrityError) as error:
                return error.message
            self._whole.add(digest)
        return None


_A, _S, _K = builds.artifacts.c, builds.step_artifacts.c, builds.step_cache.c
_OF_KEYS = (
    sa.select(
        _K.cache_key, _S.name, _A.kind, _A.content_id, _A.digest, _A.bytes, _A.rows.label("height"), _A.state, _A.body
    )
    .select_from(builds.step_cache)
    .join(builds.step_artifacts, _S.step_id == _K.step_id)
    .join(builds.artifacts, _A.id == _S.artifact_id)
    .where(_S.direction == "out", _K.cache_key.in_(sa.bindparam("keys", expanding=True)))
)


def _spec(row: sa.Row[Any]) -> ArtifactSpec:
    return ArtifactSpec(
        kind=row.kind,
        content_id=row.content_id,
        digest=row.digest,
        bytes=int(row.bytes),
        rows=row.height,
        body=row.body,
    )
