"""A stretch of the data's time played to a server: requests by day, outcomes days later, the clock each morning."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.serving.served import ENDPOINT, START, Caller, day, endpoint, label, records, run, serving

import clew
from clew import rollouts
from clew.rollouts import Controller
from clew.serving.server import Server

PLAN: dict[str, Any] = {"min_outcomes": 80, "min_requests": 10}


def begin(folder: Path, candidate: str, **settings: Any) -> None:
    """An endpoint with `plot@1`, and a rollout from the first day on."""
    endpoint(folder)
    with clew.open_workspace(folder) as session:
        rollouts.start(session, ENDPOINT, candidate, PLAN | settings, occurred_at=START)


@contextlib.contextmanager
def controlled(folder: Path) -> Iterator[Server]:
    """A server with a controller, under the data's clock."""
    with clew.open_workspace(folder) as session:
        controller = Controller(session)
        decide: Callable[[Any], Any] = controller.advance
        with serving(folder, ENDPOINT, data_clock=True, on_advance=decide) as server:
            yield server


@dataclass
class Replay:
    """What was sent, and what is still to be told.

    Args:
        daily: requests a day.
        delay: days until the truth about a prediction is sent.
        backdated: the truth's `occurred_at` is the day of the prediction, so that it comes late.
        order: shuffles the requests of each day; None sends them in their order.
        at_once: requests at the same time.
    """

    daily: int = 20
    delay: int = 2
    backdated: bool = False
    order: random.Random | None = None
    at_once: int = 1
    due: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    versions: dict[str, set[str]] = field(default_factory=dict)

    def play(self, server: Server, first: int, last: int) -> None:
        """The days from `first` up to `last`, with the clock at the beginning of each and at the end."""

        async def days() -> None:
            caller = Caller(server)
            for number in range(first, last):
                await self._clock(caller, number)
                await self._day(caller, number)
            await self._clock(caller, last)

        run(days)

    async def _clock(self, caller: Caller, number: int) -> None:
        assert (await caller("POST", "/clock", {"now": day(number).isoformat()})).status == 200

    async def _day(self, caller: Caller, number: int) -> None:
        told = self.due.pop(number, [])
        rows = records(self.daily, 100 + number)
        for row in rows:
            row["plot"] = f"{number}-{row['plot']}"
        if self.order is not None:
            self.order.shuffle(told)
            self.order.shuffle(rows)
        if told:
            assert (await caller("POST", "/outcomes", told)).status == 200
        gate = asyncio.Semaphore(self.at_once)

        async def send(row: dict[str, Any]) -> None:
            async with gate:
                reply = await caller.predict([row], **{"clew-occurred-at": day(number).isoformat()})
            assert reply.status == 200, reply.content
            [prediction_id] = reply.json["prediction_ids"]
            self.versions.setdefault(row["plot"], set()).add(reply.json["model_version"])
            at = day(number if self.backdated else number + self.delay)
            self.due.setdefault(number + self.delay, []).append(label(prediction_id, row["price"], at))

        await asyncio.gather(*(send(row) for row in rows))


def decisions(folder: Path) -> list[dict[str, Any]]:
    """What was decided, without how far the journal was read at each look."""
    with clew.open_workspace(folder) as session:
        found = rollouts.status(session, ENDPOINT)["decisions"]
    return [one | {"evidence": {k: v for k, v in one["evidence"].items() if k != "looks"}} for one in found]


def verdicts(folder: Path) -> list[str]:
    """The verdicts alone."""
    return [one["verdict"] for one in decisions(folder)]
