"""What a journal may keep of a request: the policies of the data that trained the version hold for it too.

A field with the name of a column is treated as that column: `drop` and `block` keep nothing of it (null), `pseudonym`
keeps the keyed hash that the column has, `generalise` what is coarser, `allow` all. Other texts are looked at: one that
holds personal data is not kept, a word says so in its place, and it is counted. The model still sees what was sent.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from clew import keys
from clew.catalog.tables import builds, data, models
from clew.data import policies
from clew.data.generalise import value as generalised
from clew.data.privacy import Policy, pseudonym
from clew.errors import UsageError
from clew.serving.journal import Outcome, find_prediction
from clew.serving.routing import all_endpoints, current_route
from clew.workspace import Workspace

_LOG = logging.getLogger(__name__)
_STRICTEST: Final = ("block", "drop", "pseudonym", "generalise", "allow")
_PSEUDONYM: Final = re.compile(r"[0-9a-f]{64}")
_Keep = Callable[[Any], Any]


class Discretion:
    """What one endpoint's requests may leave in the journal. `entity` is the field that says whom a row is about.

    Made when routes are loaded; raises as `keys.secret_key` when a policy needs a key that is lost.
    """

    def __init__(self, workspace: Workspace, held: Mapping[str, Policy], entity: str | None = None) -> None:
        from clew.data.personal.values import kind_of

        self.held = dict(held)
        self.kept_back: Counter[tuple[str, str]] = Counter()
        self._workspace = workspace
        self._kind_of = kind_of
        self._key: bytes | None = None
        if any(policy.action == "pseudonym" for policy in held.values()):
            self._pseudonym_key()
        self._rules: dict[str, _Keep] = {name: self._rule(name, policy) for name, policy in held.items()}
        self._entity = entity

    def inputs(self, values: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
        """What is kept of a row's fields."""
        kept = {name: values[name] for name in fields}
        rules = self._rules
        for name, given in kept.items():
            if name in rules:
                kept[name] = rules[name](given)
            elif type(given) is str:
                kind = self._kind_of(given)
                if kind is not None:
                    # The entity stays one that outcomes can be joined by.
                    kept[name] = self._hashed(given) if name == self._entity else self._told(name, kind)
        return kept

    def entity(self, given: str | None) -> str | None:
        """What is kept of whom a row or an outcome is about: the same for the same, so that they can be joined."""
        if given is None:
            return None
        policy = self.held.get(self._entity or "")
        if policy is None:
            return given if self._kind_of(given) is None else self._hashed(given)
        if policy.action == "allow":
            return given
        kept = self._rules[self._entity or ""](given)
        return None if kept is None else str(kept)

    def outcome(self, outcome: Outcome) -> Outcome:
        """What is kept of an outcome: its entity, and its value if that is a column's or a text."""
        import msgspec

        found = self._value(outcome.name, outcome.value)
        return msgspec.structs.replace(outcome, entity=self.entity(outcome.entity), value=found)

    def _value(self, name: str, given: Any) -> Any:
        if name in self._rules:
            return self._rules[name](given)
        if type(given) is str:
            kind = self._kind_of(given)
            return given if kind is None else self._told(name, kind)
        return given

    def _rule(self, name: str, policy: Policy) -> _Keep:
        if policy.action == "allow":
            return lambda given: given
        if policy.action == "pseudonym":
            return self._hashed
        how = policy.how
        if how is None:
            return lambda _given: None

        def coarser(given: Any) -> Any:
            try:
                return generalised(given, how)
            except UsageError:
                return self._told(name, f"what can't be generalised by {how}")

        return coarser

    def _hashed(self, given: Any) -> Any:
        """The pseudonym that a column would have; what is one already stays."""
        if given is None:
            return None
        text = str(given)
        return text if _PSEUDONYM.fullmatch(text) else pseudonym(self._pseudonym_key(), text)

    def _pseudonym_key(self) -> bytes:
        if self._key is None:
            self._key = keys.secret_key(self._workspace, "pseudonym")[1]
        return self._key

    def _told(self, name: str, kind: str) -> str:
        """What stands in place of a value; said once for each field and kind, and counted."""
        if not self.kept_back[name, kind]:
            _LOG.warning(
                "field %r held %s, which is not journalled; if it may be: clew data policy DATASET %s allow --reason …",
                name, kind, name,
            )  # fmt: skip
        self.kept_back[name, kind] += 1
        return f"(not kept: {kind})"


def held_for(workspace: Workspace, versions: Sequence[str]) -> dict[str, Policy]:
    """The policies of the datasets that some versions were built from; of two for one column the stricter."""
    mine = models.model_versions.c.id.in_(versions)
    by_input = (
        sa.select(data.snapshots.c.dataset_id)
        .join(models.model_inputs, models.model_inputs.c.snapshot_id == data.snapshots.c.id)
        .where(models.model_inputs.c.model_version_id.in_(versions))
    )
    by_run = (
        sa.select(data.snapshots.c.dataset_id)
        .join(builds.run_inputs, builds.run_inputs.c.snapshot_id == data.snapshots.c.id)
        .join(models.model_versions, models.model_versions.c.run_id == builds.run_inputs.c.run_id)
        .where(mine)
    )
    names = sa.select(data.datasets.c.name).where(data.datasets.c.id.in_(by_input.union(by_run)))
    found: dict[str, Policy] = {}
    for row in workspace.catalog.rows(names.order_by(data.datasets.c.name)):
        for column, policy in policies.declared(workspace, row.name).items():
            before = found.get(column)
            if before is None or _STRICTEST.index(policy.action) < _STRICTEST.index(before.action):
                found[column] = policy
    return found


def strictest(found: Sequence[Discretion]) -> Callable[[Outcome], Outcome]:
    """For an outcome that names a prediction and no endpoint: what any endpoint here would keep back isn't kept."""

    def kept(outcome: Outcome) -> Outcome:
        for one in found:
            outcome = one.outcome(outcome)
        return outcome

    return kept


def of_endpoint(workspace: Workspace, endpoint: str) -> Discretion:
    """What an endpoint's journal may keep now. Raises NotFoundError."""
    route = current_route(workspace, endpoint)
    held = held_for(workspace, [target.model_version_id for target in route.targets])
    return Discretion(workspace, held, route.entity_column)


def kept_outcomes(workspace: Workspace, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What is kept of outcomes that come without a server; each by its endpoint, or that of its prediction."""
    made: dict[str, Discretion] = {}
    kept = []
    for outcome in outcomes:
        endpoint = outcome.endpoint
        if endpoint is None and outcome.prediction_id is not None:
            found = find_prediction(workspace.journal, outcome.prediction_id)
            endpoint = None if found is None else found.endpoint
        known = all_endpoints(workspace)
        names = [endpoint] if endpoint in known else known
        for name in names:
            if name not in made:
                made[name] = of_endpoint(workspace, name)
        kept.append(strictest([made[name] for name in names])(outcome))
    return kept
