import asyncio
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.serving.served import ROW, register, run

import clew
from clew.errors import IntegrityError
from clew.models import Model, find
from clew.serving.runtime import Answer, Runtime, load, load_candidate


class Estimator:
    """Answers with what it is told; counts its calls."""

    def __init__(self, answer: Callable[[pl.DataFrame], Any]) -> None:
        self.answer = answer
        self.sizes: list[int] = []

    def predict(self, rows: pl.DataFrame) -> Any:
        self.sizes.append(rows.height)
        return self.answer(rows)


def runtime(answer: Callable[[pl.DataFrame], Any]) -> tuple[Runtime, Estimator]:
    estimator = Estimator(answer)
    model = Model(estimator, example=pl.DataFrame({"x": [1.0, 2.0]}))
    return Runtime("id", "m@1", model.signature, model), estimator


def ask(found: Runtime, *requests: list[float]) -> list[Answer]:
    async def all_at_once() -> list[Answer]:
        return list(await asyncio.gather(*(found.predict([{"x": x} for x in values]) for values in requests)))

    return run(all_at_once)


def double(rows: pl.DataFrame) -> Any:
    return rows["x"].to_numpy() * 2


def test_what_waits_becomes_one_batch_and_each_gets_its_own() -> None:
    found, estimator = runtime(double)
    answers = ask(found, [1.0], [2.0, 3.0], [4.0], [5.0, 6.0, 7.0])
    assert [answer.values for answer in answers] == [[2.0], [4.0, 6.0], [8.0], [10.0, 12.0, 14.0]]
    assert estimator.sizes == [1, 6]
    assert all(answer.error is None and answer.latency_us >= 0 for answer in answers)
    assert found.busy_seconds == 0.0


def test_a_batch_is_bounded() -> None:
    found, estimator = runtime(double)
    ask(found, *([[1.0] * 2000] * 5))
    assert estimator.sizes == [2000, 6000, 2000]


def test_one_bad_row_does_not_fail_its_neighbours() -> None:
    def picky(rows: pl.DataFrame) -> Any:
        if (rows["x"] == 13.0).any():
            raise ValueError("unlucky")
        return double(rows)

    found, _ = runtime(picky)
    answers = ask(found, [1.0], [2.0], [13.0], [3.0, 13.0], [4.0])
    assert [answer.values for answer in answers] == [[2.0], [4.0], None, None, [8.0]]
    assert [answer.error for answer in answers] == [None, None, "ValueError: unlucky", "ValueError: unlucky", None]


class Mute(Exception):  # noqa: N818 - it has no words
    def __str__(self) -> str:
        raise RuntimeError("no words")


def failing(error: BaseException) -> Callable[[pl.DataFrame], Any]:
    def fail(rows: pl.DataFrame) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (failing(ValueError("no")), "ValueError: no"),
        (failing(SystemExit(3)), "SystemExit: 3"),
        (failing(KeyboardInterrupt()), "KeyboardInterrupt"),
        (failing(Mute()), "Mute"),
        (failing(ValueError("\ud800")), "ValueError: ?"),
        (lambda rows: double(rows) * np.nan, "no finite number"),
        (lambda rows: np.array([np.inf] * rows.height, dtype=np.float16), "no finite number"),
        (lambda rows: np.array([np.nan], dtype=object), "no finite number"),
        (lambda rows: double(rows)[:-1], "the model gave (0,) for 1 rows"),
        (lambda rows: 1.0, "the model gave () for 1 rows"),
        (lambda rows: None, "the model gave () for 1 rows"),
        (lambda rows: np.array([{"a": 1}], dtype=object), "of the type dict"),
        (lambda rows: np.array([2**70], dtype=object), "more than 64 bits"),
        (lambda rows: np.array([1 + 2j]), "complex128"),
        (lambda rows: np.array([b"x"]), "JSON doesn't have"),
        (lambda rows: np.array(["2020-01-01"], dtype="datetime64[D]"), "JSON doesn't have"),
        (lambda rows: np.array(["\ud800"]), "surrogates not allowed"),
        (lambda rows: np.array(["\ud800"], dtype=object), "surrogates not allowed"),
        (lambda rows: np.zeros((1, 2, 2, 2, 2)), "5 dimensions"),
    ],
)
def test_whatever_a_model_does_is_an_answer_with_an_error(answer: Callable[[pl.DataFrame], Any], said: str) -> None:
    found, estimator = runtime(answer)
    [failed] = ask(found, [1.0])
    assert failed.values is None
    assert said in (failed.error or "")
    estimator.answer = double
    assert ask(found, [1.0])[0].values == [2.0]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(1.5), 1.5),
        (np.longdouble(1.5), 1.5),
        (np.int8(3), 3),
        (np.bool_(1), True),
        (np.str_("ü"), "ü"),
        ([1.0, 2.0], [1.0, 2.0]),
    ],
)
def test_predictions_become_plain_values(value: Any, plain: Any) -> None:
    found, _ = runtime(lambda rows: np.array([value] * rows.height))
    [answer] = ask(found, [1.0])
    assert answer.values == [plain]
    assert answer.values is not None
    assert type(answer.values[0]) is type(plain)


def test_predictions_of_any_kind_may_be_mixed_with_none() -> None:
    found, _ = runtime(lambda rows: np.array(["yes", None, 3, True][: rows.height], dtype=object))
    assert ask(found, [1.0] * 4)[0].values == ["yes", None, 3, True]


def test_who_gave_up_is_left_out_of_the_next_batch() -> None:
    release = threading.Event()

    def wait(rows: pl.DataFrame) -> Any:
        release.wait(10)
        return double(rows)

    found, estimator = runtime(wait)

    async def impatient() -> list[float] | None:
        first = found.predict([{"x": 1.0}])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(found.predict([{"x": 2.0}]), 0.05)
        assert found.busy_seconds >= 0.05
        last = found.predict([{"x": 3.0}])
        release.set()
        await first
        return (await last).values

    assert run(impatient) == [6.0]
    assert estimator.sizes == [1, 1]


def test_its_thread_ends_with_it_but_not_before_its_answers() -> None:
    def slow(rows: pl.DataFrame) -> Any:
        time.sleep(0.05)
        return double(rows)

    others = set(threading.enumerate())
    found, _ = runtime(slow)
    [thread] = set(threading.enumerate()) - others
    assert thread.daemon

    async def dropped() -> Any:
        nonlocal found
        future = found.predict([{"x": 1.0}])
        del found
        return (await future).values

    assert run(dropped) == [2.0]
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_a_version_is_loaded_by_its_key_and_warmed(folder: Path) -> None:
    with clew.open_workspace(folder) as session:
        version = find(session, "plot@2")
        found = load(session, version.id)
        assert (found.reference, found.version_id) == ("plot@2", version.id)
        rows = found.signature.rows([ROW])

        async def once() -> Any:
            return (await found.predict(rows)).values

        assert run(once) == [210.0]


def test_a_candidate_that_cant_be_loaded_fails_at_every_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = register(folder, fault="unloadable")
    monkeypatch.setenv("PLOTS_BREAK", "1")
    with clew.open_workspace(folder) as session:
        version = find(session, reference)
        with pytest.raises(KeyError):
            load(session, version.id)
        found = load_candidate(session, version.id)

        async def once() -> Answer:
            return await found.predict(found.signature.rows([ROW]))

        answer = run(once)
        assert answer.values is None
        assert "it can't be loaded: KeyError" in (answer.error or "")


def test_a_damaged_package_is_an_error_for_the_champion_and_evidence_against_a_candidate(folder: Path) -> None:
    with clew.open_workspace(folder) as session:
        version = find(session, "plot@2")
        path = session.objects.open_path(version.digest)
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(IntegrityError):
            load(session, version.id)
        assert load_candidate(session, version.id).reference == "plot@2"
