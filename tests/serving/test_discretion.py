"""What the journal may keep: the policies of the training data hold, and unknown personal values stay out."""

import hashlib
import hmac
import logging
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.served import ENDPOINT, ROW, START, Caller, endpoint, journalled, run, serving

import clew
from clew import keys
from clew.catalog.commands import CreateDataset
from clew.data import policies
from clew.data.generalise import parse
from clew.data.personal.values import kind_of
from clew.data.privacy import Policy, pseudonym
from clew.errors import NotFoundError
from clew.models import find as find_model
from clew.serving.discretion import Discretion
from clew.serving.journal import Outcome
from clew.thread.erasure.request import request
from clew.thread.labelled import labelled
from clew.workspace import Workspace, init, open_folder

MAIL = "anna.keller@example.com"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLEW_PSEUDONYM_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    init(tmp_path / "home")
    with open_folder(tmp_path / "home") as opened:
        yield opened


def hashed(workspace: Workspace, text: str) -> str:
    key = keys.secret_key(workspace, "pseudonym")[1]
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


# --- one row ------------------------------------------------------------------------------------------------------


def test_each_policy_holds_for_the_field_of_its_name(workspace: Workspace) -> None:
    held = {
        "a": Policy("block", "r"),
        "b": Policy("drop", "r"),
        "c": Policy("pseudonym", "r"),
        "d": Policy("generalise", "r", parse("year")),
        "e": Policy("allow", "r"),
    }
    one = Discretion(workspace, held)
    sent = {"a": MAIL, "b": 3, "c": MAIL, "d": "1974-03-12", "e": MAIL, "f": MAIL, "g": 7.5, "h": None, "i": "sunny"}
    kept = one.inputs(sent, [*sent])
    assert kept == {
        "a": None, "b": None, "c": hashed(workspace, MAIL), "d": "1974-01-01", "e": MAIL,
        "f": "(not kept: e-mail)", "g": 7.5, "h": None, "i": "sunny",
    }  # fmt: skip
    assert one.inputs(kept, [*kept]) == kept | {"f": "(not kept: e-mail)"}
    assert dict(one.kept_back) == {("f", "e-mail"): 1}
    assert sent["f"] == MAIL


def test_what_cannot_be_made_coarser_is_not_kept(workspace: Workspace) -> None:
    one = Discretion(workspace, {"d": Policy("generalise", "r", parse("year"))})
    assert one.inputs({"d": "in spring"}, ["d"]) == {"d": "(not kept: what can't be generalised by year)"}


def test_a_lost_key_is_told_before_anything_is_served(workspace: Workspace) -> None:
    keys.secret_key(workspace, "pseudonym")
    Path(str(keys.known(workspace)[0].at)).unlink()
    with pytest.raises(NotFoundError, match="pseudonym-1"):
        Discretion(workspace, {"c": Policy("pseudonym", "r")})


def outcome(**fields: Any) -> Outcome:
    given: dict[str, Any] = {
        "id": "o",
        "name": "price",
        "kind": "label",
        "value": 1.0,
        "occurred_at": 1,
        "recorded_at": 1,
    }
    return Outcome(**given | fields)


def test_an_entity_and_its_outcomes_stay_joined(workspace: Workspace) -> None:
    plain, private = Discretion(workspace, {}, "who"), Discretion(workspace, {"who": Policy("pseudonym", "r")}, "who")
    assert plain.entity("P1") == plain.outcome(outcome(entity="P1")).entity == "P1"
    for one, whom in ((plain, MAIL), (private, "P1"), (private, MAIL)):
        said = one.entity(whom)
        assert said == hashed(workspace, whom) == one.outcome(outcome(entity=whom)).entity
        assert one.inputs({"who": whom}, ["who"]) == {"who": said}
    assert Discretion(workspace, {"who": Policy("allow", "r")}, "who").entity(MAIL) == MAIL
    assert Discretion(workspace, {"who": Policy("drop", "r")}, "who").entity(MAIL) is None
    assert plain.entity(None) is None


def test_values_of_outcomes(workspace: Workspace) -> None:
    one = Discretion(workspace, {"born": Policy("generalise", "r", parse("year"))})
    assert one.outcome(outcome(value=f"wrote to {MAIL}", kind="response")).value == "(not kept: e-mail)"
    assert one.outcome(outcome(name="born", value="1974-03-12")).value == "1974-01-01"
    assert one.outcome(outcome(value=True)).value is True


def test_an_entity_that_was_hashed_is_found_again_by_an_erasure(workspace: Workspace) -> None:
    workspace.catalog.execute(CreateDataset(name="people", subject_column="email"))
    assert request(workspace, "people", MAIL).wanted == (MAIL,)
    kept = Discretion(workspace, {}, "who").entity(MAIL)
    assert request(workspace, "people", MAIL).wanted == (MAIL, kept)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (MAIL, "e-mail"),
        ("756.9217.0769.85", "national id CH"),
        ("DE89370400440532013000", "iban"),
        ("8.8.8.8", "ipv4"),
        ("Musterweg 12", "street address"),
        ("ask Mrs. Obermoser", "name"),
        ("2020-01-01T12:00:00+00:00", None),
        ("sunny", None),
        ("S00801", None),
        ("12345678", None),
        ("brick, two floors", None),
    ],
)
def test_single_texts(text: str, kind: str | None) -> None:
    assert kind_of(text) == kind


# --- a server -----------------------------------------------------------------------------------------------------


def test_a_server_keeps_the_policies_of_what_trained_its_version(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint(folder)
    with clew.open_workspace(folder) as session:
        policies.declare(session, "plots", "plot", "pseudonym", "who it is belongs to nobody here")
        policies.declare(session, "plots", "seen", "generalise", "the year is enough", parse("year"))
        key = keys.secret_key(session, "pseudonym")[1]
    with serving(folder, ENDPOINT) as server:
        call = Caller(server)

        async def talk() -> Any:
            first = await call.predict([ROW | {"seen": "2020-05-17"}, ROW | {"side": MAIL}])
            sent = {"endpoint": ENDPOINT, "entity": "P1", "name": "price", "kind": "label", "value": 3.0}
            await call("POST", "/outcomes", sent)
            byid = {"prediction_id": first.json["prediction_ids"][0], "name": "note", "kind": "response", "value": MAIL}
            await call("POST", "/outcomes", byid | {"occurred_at": "2020-01-02"})
            return first, await call("GET", "/endpoints")

        with caplog.at_level(logging.WARNING, "clew.serving.discretion"):
            answered, listed = run(talk)
    assert answered.status == 200
    # The model saw what was sent: with the side it doesn't know it answers all the same.
    assert answered.json["predictions"] == [200.0, 200.0]
    predictions, outcomes = journalled(folder)
    whom = pseudonym(key, "P1")
    assert [one.entity for one in predictions] == [whom, whom]
    assert predictions[0].inputs == {"area": 100.0, "rooms": 3, "side": "sunny", "seen": "2020-01-01"}
    assert predictions[1].inputs["side"] == "(not kept: e-mail)"
    assert [(one.entity, one.value) for one in outcomes] == [(whom, 3.0), (None, "(not kept: e-mail)")]
    assert listed.json["endpoints"][0]["not_journalled"] == [
        {"field": "note", "kind": "e-mail", "count": 1},
        {"field": "side", "kind": "e-mail", "count": 1},
    ]
    assert caplog.text.count("which is not journalled") == 2
    assert MAIL not in caplog.text
    raw = b"".join(path.read_bytes() for path in (folder / ".clew" / "journal").rglob("*") if path.is_file())
    assert b"keller" not in raw
    with clew.open_workspace(folder) as session:
        why = session.why(predictions[0].id)
        # What was kept still fits what the model takes, so versions can be compared on it.
        version = find_model(session, "plot@1")
        rows = labelled(session, ENDPOINT, version, "price")
        assert rows.select("area", "seen", "price").rows() == [(100.0, START.date(), 3.0)]
    assert why["prediction"]["inputs"]["seen"] == "2020-01-01"


def test_a_policy_that_is_declared_while_it_serves_holds_from_the_next_look(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT) as server:

        async def once() -> Any:
            return await server.predict(server.route(ENDPOINT), [ROW], None)

        run(once)
        with clew.open_workspace(folder) as session:
            policies.declare(session, "plots", "side", "drop", "it tells who lives there")
        server.refresh()
        run(once)
    assert [one.inputs["side"] for one in journalled(folder)[0]] == ["sunny", None]


def test_numbers_and_ids_as_texts_are_left_alone() -> None:
    # Of 3,000 numbers and 3,000 UUIDs, less than one in a thousand is taken for personal.
    rng = random.Random(2)
    texts = [str(rng.randrange(10 ** (n - 1), 10**n)) for n in (9, 10, 11, 12, 13) for _ in range(600)]
    texts += [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(3000)]
    assert sum(kind_of(text) is not None for text in texts) <= 3


def test_it_costs_little(workspace: Workspace) -> None:
    # Twenty numbers and three categories a row: some microseconds, of a path that takes a few hundred.
    one = Discretion(workspace, {})
    row = {f"f{number}": number / 7 for number in range(20)} | {"wall": "brick", "side": "sunny", "at": "2020-01-01"}
    fields = [*row]
    best = min(_seconds(one, row, fields) for _ in range(5))
    assert best < 100e-6


def _seconds(one: Discretion, row: dict[str, Any], fields: list[str]) -> float:
    began = time.perf_counter()
    for _ in range(200):
        one.inputs(row, fields)
    return (time.perf_counter() - began) / 200
