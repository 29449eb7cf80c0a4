"""Starting a rollout, looking at it, ending it by hand, and replaying its decisions from the journal."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import RecordDecision, StartRollout, Target
from clew.catalog.tables import serving
from clew.errors import NotFoundError, RefusedError, UsageError
from clew.models import ModelVersion, by_id, find
from clew.rollouts import plan as plans
from clew.rollouts._decide import decide
from clew.rollouts.evidence import Evidence
from clew.rollouts.plan import SHADOW, Plan
from clew.serving import Route, current_route
from clew.serving.observations import Observations
from clew.serving.requests import from_micros
from clew.serving.routing import marked
from clew.workspace import Workspace


def start(
    workspace: Workspace,
    endpoint: str,
    candidate: str,
    settings: Mapping[str, Any] | None = None,
    *,
    occurred_at: datetime | None = None,
) -> dict[str, Any]:
    """Begin to roll a version out at an endpoint, in shadow. The server picks it up by itself.

    Args:
        workspace: the workspace.
        endpoint: the endpoint's name.
        candidate: the version, such as "house-price@2".
        settings: parts of the `Plan` that differ from what follows from the champion's registration.
        occurred_at: when it begins, in the data's time; now, if not given.

    Raises RefusedError for a version that was refused or is live already, or while another rollout runs.
    """
    route = current_route(workspace, endpoint)
    champion = by_id(workspace, route.champion.model_version_id)
    version = find(workspace, candidate)
    if version.state != "accepted":
        raise RefusedError(f"{version.reference} is {version.state}: {version.refused_because or ''}".rstrip(": "))
    if version.model != champion.model:
        raise UsageError(f"{endpoint} serves {champion.model}, and {version.reference} is another model")
    if version.id == champion.id:
        raise RefusedError(f"{version.reference} is live at {endpoint} already")
    if version.id in _refused(workspace, route, [version.id]):
        raise RefusedError(
            f"rows that trained {version.reference} were erased since, and {endpoint} refuses such versions",
            mend=f"train it again: clew data erasures says how; or clew endpoint erased {endpoint} serve",
        )
    try:
        profile = _profile(workspace, champion)
    except NotFoundError:
        profile = _profile(workspace, version)  # the champion's went with rows that were erased
    plan = plans.make(champion, profile, dict(settings or {}))
    answer = workspace.catalog.execute(
        StartRollout(
            endpoint_id=route.endpoint_id,
            champion_id=champion.id,
            candidate_id=version.id,
            plan=msgspec.to_builtins(plan),
            occurred_at=occurred_at or now(),
        )
    )
    return {"rollout": answer["rollout_id"], "endpoint": endpoint, "candidate": version.reference, "stage": SHADOW}


def _refused(workspace: Workspace, route: Route, versions: list[str]) -> set[str]:
    return marked(workspace, versions) if route.settings.get("erased_data") == "refuse" else set()


def _profile(workspace: Workspace, version: ModelVersion) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(workspace.objects.get(version.artifact("profile").digest))
    return found


def newest(workspace: Workspace, endpoint: str) -> sa.Row[Any]:
    """The newest rollout of an endpoint. Raises NotFoundError."""
    route = current_route(workspace, endpoint)
    r = serving.rollouts.c
    row = workspace.catalog.first(
        sa.select(serving.rollouts).where(r.endpoint_id == route.endpoint_id).order_by(r.id.desc()).limit(1)
    )
    if row is None:
        raise NotFoundError(
            f"nothing was ever rolled out at {endpoint}", mend=f"clew rollout start {endpoint} MODEL@VERSION"
        )
    return row


def status(workspace: Workspace, endpoint: str) -> dict[str, Any]:
    """How the newest rollout of an endpoint stands, with all its decisions."""
    row = newest(workspace, endpoint)
    route = current_route(workspace, endpoint)
    candidate = route.candidate
    live = row.state == "running" and candidate is not None and candidate.model_version_id == str(row.candidate_id)
    share = candidate.share if live and candidate else (1.0 if row.state == "promoted" else 0.0)
    d = serving.rollout_decisions.c
    decisions = workspace.catalog.rows(
        sa.select(serving.rollout_decisions).where(d.rollout_id == row.id).order_by(d.ordinal)
    )
    return {
        "endpoint": endpoint,
        "state": row.state,
        "share": share,
        "champion": by_id(workspace, str(row.champion_id)).reference,
        "candidate": by_id(workspace, str(row.candidate_id)).reference,
        "started": row.occurred_at.isoformat(),
        "plan": row.plan,
        "decisions": [
            {
                "at": decision.occurred_at.isoformat(),
                "verdict": decision.verdict,
                "reason": decision.reason,
                "from": decision.stage_before,
                "to": decision.stage_after,
                "requests": int(decision.requests),
                "outcomes": int(decision.outcomes),
                "evidence": decision.evidence,
            }
            for decision in decisions
        ],
    }


def end(workspace: Workspace, endpoint: str, *, verdict: str, reason: str) -> dict[str, Any]:
    """End the running rollout by hand, and give all traffic back to the champion.

    `verdict` is "abort" or "rollback". Raises RefusedError when none is running.
    """
    row = newest(workspace, endpoint)
    if row.state != "running":
        raise RefusedError(f"no rollout is running at {endpoint}: the newest one is {row.state}")
    stages = status(workspace, endpoint)["decisions"]
    workspace.catalog.execute(
        RecordDecision(
            rollout_id=str(row.id),
            verdict=verdict,
            reason=reason,
            stage_before=stages[-1]["to"] if stages else SHADOW,
            stage_after="rolled back",
            requests=0,
            outcomes=0,
            evidence={"by": "hand"},
            state="aborted" if verdict == "abort" else "rolled_back",
            targets=[Target(model_version_id=str(row.champion_id), role="champion", share=1.0)],
            occurred_at=now(),
        )
    )
    return status(workspace, endpoint)


def replay(workspace: Workspace, endpoint: str) -> dict[str, Any]:
    """Decide the newest rollout again from the journal alone, and compare with what was decided.

    Each look is taken again as it was: at its moment of the data's time, of the journal as far as it went then.
    Nothing is written. Decisions made by hand are left aside.
    """
    row = newest(workspace, endpoint)
    evidence = Evidence(msgspec.convert(row.plan, Plan), str(row.champion_id), str(row.candidate_id))
    observations = Observations(workspace.journal, endpoint, rollout_id=str(row.id))
    recorded = [one for one in status(workspace, endpoint)["decisions"] if one["evidence"].get("by") != "hand"]
    looks = [look for one in recorded for look in one["evidence"].get("looks", [])]
    stage, again = SHADOW, []
    for micro, read in looks:
        moment = from_micros(micro)
        evidence.take(observations.again(moment, read))
        decision = decide(evidence, stage)
        if decision is None:
            continue
        again.append(
            {
                "at": moment.isoformat(),
                "verdict": decision.verdict,
                "to": decision.stage,
                "requests": evidence.requests,
                "outcomes": evidence.outcomes,
            }
        )
        stage, evidence.stage_requests = decision.stage, 0
        if decision.state != "running":
            break
    was = [{name: one[name] for name in ("at", "verdict", "to", "requests", "outcomes")} for one in recorded]
    return {"endpoint": endpoint, "same": was == again, "recorded": was, "replayed": again}


__all__ = ["end", "newest", "replay", "start", "status"]
