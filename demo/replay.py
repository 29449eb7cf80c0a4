"""Replaying years of traffic in order of time: requests, and sale prices that become known 30 days later."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl

from demo.stage import Server, bar

DELAY = timedelta(days=30)


@dataclass
class Replay:
    """Sends the sales of one period after the other; what isn't known yet is sent when its day comes."""

    server: Server
    fields: list[str]
    requests: int = 0
    outcomes: int = 0
    due: dict[date, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    answered: list[dict[str, Any]] = field(default_factory=list)

    def run(
        self,
        text: str,
        sales: pl.DataFrame,
        first: date,
        last: date,
        stop: Callable[[dict[str, Any]], bool] = lambda _clock: False,
    ) -> date:
        """Play the days from `first` to `last`, or until `stop` says so of the clock's answer; give the last day."""
        by_day = {
            day: rows
            for (day,), rows in sales.filter(pl.col("sold_on").is_between(first, last))
            .partition_by("sold_on", as_dict=True)
            .items()
        }
        day = first
        with bar(text, (last - first).days + 1) as advance:
            while day <= last:
                # Whoever decides has seen everything before this day when the day begins.
                _, clock = self.server.post("/clock", {"now": day.isoformat()})
                if stop(clock):
                    return day
                self._outcomes(day)
                if day in by_day:
                    self._requests(day, by_day[day])
                advance()
                day += timedelta(days=1)
        return last

    def _requests(self, day: date, rows: pl.DataFrame) -> None:
        for row in rows.sort("sale_id").to_dicts():
            record = {name: row[name] for name in self.fields}
            record["sold_on"] = day.isoformat()
            headers, body = self.server.post(
                f"/endpoints/{self.server.endpoint}/invocations",
                {"dataframe_records": [record]},
                {"clew-occurred-at": day.isoformat()},
            )
            prediction_id = headers["clew-prediction-id"]
            self.requests += 1
            known = day + DELAY
            outcome = {
                "name": "price_usd",
                "kind": "label",
                "value": row["price_usd"],
                "occurred_at": known.isoformat(),
            }
            self.due[known].append({"prediction_id": prediction_id, **outcome})
            self.answered.append(
                {"day": day.isoformat(), "id": prediction_id, "version": body["model_version"], "known": known}
            )

    def _outcomes(self, day: date) -> None:
        found = self.due.pop(day, [])
        if found:
            self.server.post("/outcomes", found)
            self.outcomes += len(found)
