import itertools
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.serving.served import ENDPOINT, START, endpoint

import clew
from clew import rollouts
from clew.errors import NotFoundError, RefusedError
from clew.serving import Route, Target, all_endpoints, create_endpoint, current_route
from clew.serving.routing import revisions

ENTITIES = [f"entity-{number}" for number in range(20_000)]


def route(share: float | None, candidate: str = "m@2") -> Route:
    targets = [Target("1", "m@1", "champion", 1.0 - (share or 0.0))]
    if share is not None:
        targets.append(Target("2", candidate, "candidate", share))
    return Route("e", "plots", None, {}, 1, "test", None, tuple(targets), datetime(2020, 1, 1, tzinfo=UTC))


def chosen(share: float, candidate: str = "m@2") -> set[str]:
    split = route(share, candidate)
    return {entity for entity in ENTITIES if split.choose(entity)[0].role == "candidate"}


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.25, 0.5, 0.99])
def test_a_share_is_kept_to_four_standard_errors(share: float) -> None:
    found = len(chosen(share)) / len(ENTITIES)
    assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / len(ENTITIES))


def test_who_has_the_candidate_keeps_it_while_shares_grow() -> None:
    groups = [chosen(share) for share in (0.01, 0.05, 0.25, 0.5)]
    for smaller, larger in itertools.pairwise(groups):
        assert smaller < larger
    assert len(chosen(1.0)) == len(ENTITIES)


def test_another_candidate_begins_with_other_entities() -> None:
    both = len(chosen(0.25) & chosen(0.25, "m@3")) / len(ENTITIES)
    assert abs(both - 0.0625) < 0.01


def test_the_choice_is_the_same_in_every_process_and_says_why() -> None:
    target, reason = route(0.25).choose("entity-1")
    assert (target, reason) == route(0.25).choose("entity-1")
    assert reason.startswith("place 0.")
    assert "25% of the traffic" in reason
    assert "0.5% of the traffic" in route(0.005).choose("entity-1")[1]
    assert route(0.0).choose("entity-1")[1] == "the champion answers; m@2 answers in shadow"
    assert route(None).choose("entity-1")[1] == "the champion has all of the traffic"


def test_an_endpoint_begins_with_all_traffic_at_one_version(folder: Path) -> None:
    endpoint(folder)
    with clew.open_workspace(folder) as session:
        found = current_route(session, ENDPOINT)
        assert (found.champion.model_version, found.champion.share, found.candidate) == ("plot@1", 1.0, None)
        assert (found.revision, found.entity_column, found.occurred_at) == (1, "plot", START)
        assert all_endpoints(session) == [ENDPOINT]
        assert revisions(session) == {found.endpoint_id: 1}
        rollouts.start(session, ENDPOINT, "plot@2", occurred_at=START)
        assert revisions(session) == {found.endpoint_id: 2}
        assert current_route(session, ENDPOINT).candidate == Target(
            rollouts.operate.newest(session, ENDPOINT).candidate_id, "plot@2", "candidate", 0.0
        )


def test_what_can_be_no_endpoint_is_refused_with_a_mend(folder: Path) -> None:
    endpoint(folder)
    with clew.open_workspace(folder) as session:
        with pytest.raises(NotFoundError, match="no endpoint is called 'houses'; there are: plots") as missing:
            current_route(session, "houses")
        assert missing.value.mend == "clew endpoint create houses --model MODEL@VERSION"
        with pytest.raises(RefusedError) as taken:
            create_endpoint(session, ENDPOINT, "plot@2", entity_column=None, occurred_at=START)
        assert taken.value.mend
        with pytest.raises(NotFoundError):
            create_endpoint(session, "houses", "plot@9", entity_column=None, occurred_at=START)


def test_a_route_is_a_value() -> None:
    assert replace(route(0.5)) == route(0.5)
