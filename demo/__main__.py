"""The demo: from raw rows to rollouts decided by outcomes, and back. Everything goes through the real parts.

python -m demo [FOLDER]: the workspace is made in FOLDER (demo-workspace) and kept.
"""

import json
import shutil
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from demo import sources
from demo.replay import Replay
from demo.stage import Clew, Server, console, say, show, title

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = "examples/house_prices/pipeline.py"
ENDPOINT = "house-price"
PLAN = ["--set", "margin=500", "--set", "loss_cap=100000"]


class Demo:
    """The parts, in order; `summary` is what they found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clew = Clew(folder)
        self.summary: dict[str, Any] = {"versions": {}, "rollouts": [], "seconds": {}}
        self.files = sources.write(folder / "sources")

    def timed(self, name: str, part: Any, *given: Any) -> Any:
        """One part, with its time."""
        started = time.monotonic()
        found = part(*given)
        self.summary["seconds"][name] = round(time.monotonic() - started, 1)
        return found

    def data(self) -> None:
        """1. Data: a snapshot, its contract, and a refusal."""
        title("1  Data: clean, correct, and safe to use")
        self.clew("init", str(self.folder))
        added = self.add("house-sales", self.files.to_1995, "1995-12-31", "--key", "sale_id")
        say(f"house-sales@{added['version']}: {added['rows']:,} sales, id {added['id'][:13]}…")
        contract = self.folder / "house-sales.toml"
        inferred = self.clew("contract", "infer", "house-sales@1", "--out", str(contract))
        for finding in inferred["findings"]:
            say(f"finding: {finding['column']}: {finding['message']}")
        checked = self.clew("contract", "check", "house-sales@1", "--contract", str(contract))
        say(f"the contract has {len(checked['results'])} rules; house-sales@1 keeps all of them: {checked['passed']}")
        broken = self.broken_delivery()
        leaks = self.clew(
            "data", "leakage", "house-sales@1", "--target", "price_usd", "--split-by", "sold_on", "--at", "sold_on"
        )
        for leak in leaks["findings"]:
            say(f"leakage: {leak['column']}: {leak['message']}")
        say("A second file has the sellers' e-mail addresses and phone numbers:")
        refusal = self.clew("data", "add", "house-sellers", str(self.files.sellers), refused=True)
        for line in refusal.strip().splitlines():
            say(line)
        declare = ["data", "policy", "house-sellers"]
        self.clew(*declare, "seller_email", "drop", "--reason", "no model needs it")
        self.clew(*declare, "seller_phone", "drop", "--reason", "no model needs it")
        kept = self.add("house-sellers", self.files.sellers, "1993-12-31", "--key", "sale_id")
        columns = [name for name, _ in self.clew("data", "show", "house-sellers@1")["schema"]]
        say(f"now it is stored, without them: {kept['rows']:,} rows, {len(columns)} columns")
        self.summary["findings"] = inferred["findings"]
        self.summary["leakage"] = leaks["findings"]
        self.summary["kept_apart"] = broken
        self.summary["contract_rules"] = len(checked["results"])
        self.summary["refused_columns"] = [name for name in ("seller_email", "seller_phone") if name in refusal]

    def broken_delivery(self) -> int:
        """A delivery that breaks the contract is refused, and its failing rows are kept apart; gives how many."""
        say("A delivery in which one office writes walls in capitals, and -999 for a depth that it doesn't know:")
        refusal = self.clew("data", "add", "house-sales", str(self.files.broken), refused=True)
        for line in refusal.strip().splitlines():
            say(line)
        apart = self.clew("contract", "quarantine", "list", "house-sales")[0]
        say(f"{apart['rows']} of its {apart['of']:,} rows are kept apart, to look at")
        return int(apart["rows"])

    def add(self, name: str, file: Path, until: str, *more: str) -> Any:
        """A snapshot, as of a day in the data's time."""
        return self.clew("data", "add", name, str(file), "--occurred-at", until, *more)

    def build(self) -> None:
        """2. A model, built in steps."""
        title("2  A model: clean → features → split → train → evaluate → register")
        self.register("1996-01-01")
        again = self.clew("run", PIPELINE, "--occurred-at", "1996-01-01")
        say(f"run again: {steps(again)}")
        changed = self.clew("run", PIPELINE, "--set", "trees=100", "--set", "register=false")
        say(f"with trees=100: {steps(changed)}")
        explained = self.clew("runs", "explain", changed["run"], "train")
        say(f"train {explained['status']}: {explained['why']}")
        self.sweep()
        self.summary["second_run"] = {one["name"]: one["status"] for one in again["steps"]}
        self.summary["changed_parameter"] = {one["name"]: one["status"] for one in changed["steps"]}

    def sweep(self) -> None:
        """Several trials of the same pipeline, which share the steps before the one that is varied."""
        varied = ["--set", "trees=40..120", "--set", "learning_rate=log:0.03..0.3", "--set", "register=false"]
        swept = self.clew("sweep", PIPELINE, *varied, "--trials", "4", "--minimize", "mae", "--executor", "inline")
        trials = [self.clew.quietly("runs", "show", one["run"]) for one in swept["trials"]]
        shared = Counter(step["name"] for one in trials for step in one["steps"] if step["status"] == "cached")
        told = ", ".join(f"{name} {count} ×" for name, count in shared.items())
        say(f"{len(trials)} trials; taken from the cache: {told}")
        for one in sorted(swept["trials"], key=lambda one: one["value"])[:3]:
            say(f"    MAE {one['value']:,.0f} with {_parameters(one['parameters'])}")
        say(
            "what made the difference: "
            + ", ".join(f"{name} {share:.0%}" for name, share in swept["importance"].items())
        )
        self.summary["sweep"] = {"trials": swept["trials"], "shared": dict(shared), "importance": swept["importance"]}

    def register(self, occurred_at: str, *settings: str) -> str:
        """Run the pipeline, and say what it registered."""
        made = self.clew("run", PIPELINE, "--occurred-at", occurred_at, *settings)
        metrics, reference = made["metrics"], str(made["models"][0])
        say(f"{steps(made)}")
        say(
            f"{reference}: MAE {metrics['mae']:,.0f} dollars on its test, the baseline {metrics['baseline_mae']:,.0f}; "
            f"MAPE {metrics['mape']:.1%}; bias {metrics['bias']:,.0f}; accepted"
        )
        shown = self.clew("model", "show", reference)
        if reference.endswith("@1"):
            for one in shown["slices"]:
                say(f"    {one['slice']:6} {one['value']:14} {one['rows']:5} rows  MAE {one['mae']:8,.0f}")
        self.summary["versions"][reference] = {
            "metrics": metrics,
            "data": [[one["role"], one["snapshot"], one["id"]] for one in shown["inputs"]],
        }
        return reference

    def first_year(self, replay: Replay) -> None:
        """3. The first year in service."""
        title("3  In service: the sales of 1996 as requests, the prices 30 days later as outcomes")
        replay.run("1996", self.traffic, date(1996, 1, 1), date(1996, 12, 31))
        say(f"{replay.requests:,} requests, each with a prediction id; {replay.outcomes:,} outcomes so far")

    def monitor(self) -> None:
        """4. What the monitor sees."""
        title("4  What the monitor saw in 1996")
        seen = self.clew("monitor", "status", ENDPOINT)
        report = seen["reports"][0]
        performance = report["performance"]
        say(
            f"promised: MAE {performance['promised']:,.0f}; live: {performance['live']:,.0f} "
            f"(always-valid interval {performance['interval'][0]:,.0f} to {performance['interval'][1]:,.0f}), "
            f"bias {performance['bias']:,.0f}: prices rise, and the model doesn't know"
        )
        for column in sorted(report["columns"], key=lambda one: -one["psi"])[:5]:
            verdict = "ALERT" if column["alarm"] else "real, but small" if column["real"] else "no shift shown"
            say(f"    {column['column']:16} PSI {column['psi']:.3f}  log e {column['log_e']:8.1f}  {verdict}")
        for alert in seen["alerts"]:
            say(f"alert of {alert['at'][:10]}: {alert['message']}")
        self.summary["monitor_1996"] = {"performance": performance, "alerts": seen["alerts"]}

    def second_version(self, replay: Replay) -> None:
        """5. A better version, rolled out with care."""
        title("5  Version 2, trained with 1996 too, rolled out on the traffic of 1997")
        added = self.add("house-sales", self.files.to_1996, "1996-12-31", "--key", "sale_id")
        say(f"the new dump has {added['rows']:,} rows and took {added['new_bytes']:,} new bytes")
        changed = self.clew("data", "diff", "house-sales@1", "house-sales@2")
        counts = ", ".join(f"{changed[what]:,} {what}" for what in ("added", "removed", "changed"))
        say(f"rows by sale_id: {counts}")
        for name, moved in list(changed["columns"].items())[:3]:
            most = moved["bins"][0]
            before, after = most["share"]
            say(f"    {name} moved by {moved['distance']:.1%}, most at {most['bin']}: {before:.1%} → {after:.1%}")
        self.summary["diff"] = {name: changed[name] for name in ("by", "added", "removed", "changed")}
        reference = self.register("1997-01-01")
        self.clew("rollout", "start", ENDPOINT, reference, "--occurred-at", "1997-01-01", *PLAN)
        replay.run("1997", self.traffic, date(1997, 1, 1), date(1997, 12, 31))
        self.decided("better", reference)

    def faulty_versions(self, replay: Replay) -> None:
        """6. Two faulty versions, each of which passes its own offline test."""
        title("6  Two faulty versions, on the traffic of 1998")
        say("One was trained on living areas in square feet; requests bring square metres.")
        self.add("office-feet", self.files.feet, "1997-12-31", "--key", "sale_id")
        reference = self.register("1998-01-01", "--set", "sales=office-feet@1")
        self.clew("rollout", "start", ENDPOINT, reference, "--occurred-at", "1998-01-01", *PLAN)
        day = replay.run("1998", self.traffic, date(1998, 1, 1), date(1998, 9, 30), stop=ended)
        self.decided("square feet", reference)
        say("The other was trained on a load of 1997 that was really the export of 1993 with new dates.")
        self.add("office-stale", self.files.stale, "1997-12-31", "--key", "sale_id")
        reference = self.register("1998-01-01", "--set", "sales=office-stale@1")
        self.clew("rollout", "start", ENDPOINT, reference, "--occurred-at", day.isoformat(), *PLAN)
        replay.run("1998", self.traffic, day, date(1998, 9, 30), stop=ended)
        self.decided("stale prices", reference)

    def decided(self, name: str, reference: str) -> None:
        """What became of a rollout."""
        status = self.clew("rollout", "status", ENDPOINT)
        for one in status["decisions"]:
            say(
                f"{one['at'][:10]} {one['verdict']}: {one['from']} → {one['to']} "
                f"after {one['requests']:,} requests and {one['outcomes']:,} outcomes"
            )
        last = status["decisions"][-1] if status["decisions"] else None
        say(f"{reference} is {status['state']}: {last['reason'] if last else 'no decision'}")
        replayed = self.clew("rollout", "replay", ENDPOINT)
        say(f"decided again from the journal: {'the same' if replayed['same'] else 'DIFFERENT'}")
        self.summary["rollouts"].append(
            {
                "name": name,
                "candidate": reference,
                "champion": status["champion"],
                "state": status["state"],
                "decisions": [{k: v for k, v in one.items() if k != "evidence"} for one in status["decisions"]],
                "evidence": last["evidence"] if last else None,
                "replayed_the_same": replayed["same"],
            }
        )

    def worse(self) -> None:
        """7. What made the faulty versions worse."""
        title("7  Why are they worse?")
        good = self.summary["rollouts"][0]["candidate"]
        feet, stale = (one["candidate"] for one in self.summary["rollouts"][1:])
        self.bisected(good, feet)
        say("The other passed its own test best of all; what came true in service tells it apart:")
        self.bisected(good, stale, "--outcomes", ENDPOINT)

    def bisected(self, good: str, bad: str, *more: str) -> None:
        """Which of the changes between two versions made one worse."""
        found = self.clew("model", "bisect", good, bad, *more)
        say(f"on {found['judged_on']}, {found['metric']} {found['found']['good']:,.0f} → {found['found']['bad']:,.0f}:")
        level = found["found"]
        while level["inside"]:
            [level] = level["inside"].values()
        for one in level["effects"]:
            low, high = one["adding"][1:]
            say(f"    {'guilty' if one['matters'] else '      '} {low:+8,.0f} to {high:+8,.0f}  {one['says']}")
        cached = sum(not one.get("fresh") for one in found["builds"])
        say(f"{len(found['builds'])} builds, {cached} of them wholly from the cache")
        self.summary.setdefault("bisections", []).append(
            {name: found[name] for name in ("good", "bad", "verdict", "says", "judged_on", "rows")}
        )

    def thread(self, replay: Replay) -> None:
        """8. The thread of one prediction."""
        title("8  Why this prediction?")
        candidates = [one for one in replay.answered if one["day"].startswith("1997") and one["version"].endswith("@2")]
        chosen = candidates[0]["id"]
        for line in self.clew.words("why", chosen).splitlines():
            say(line)
        self.summary["why"] = chosen

    def way_back(self) -> None:
        """9. Back to version 1."""
        title("9  The way back to version 1")
        restored = self.clew("model", "restore", "house-price@1", str(self.folder / "restored-house-price-1"))
        say(f"restored to {restored['folder']}: code, data, parameters, environment, model, README")
        rebuilt = self.clew("model", "rebuild", "house-price@1")
        same = ", ".join(name for name, held in rebuilt["same"].items() if held)
        say(f"rebuilt: {rebuilt['verdict']} ({same} are the same)")
        self.summary["rebuild"] = rebuilt

    def forgotten(self) -> None:
        """10. A person asks to be forgotten."""
        title("10  A seller asks to be forgotten")
        sale = self.traffic.filter(pl.col("sold_on").dt.year() == 1996)["sale_id"][0]
        asked = ["data", "erase", "house-sales", "--column", "sale_id", "--subject", sale]
        for line in self.clew.words(*asked, "--dry-run").splitlines():
            say(line)
        receipt = self.clew(*asked)
        versions = ", ".join(one["snapshot"] for one in receipt["snapshots"])
        journal = receipt["journal_records"]
        say(
            f"erased from {versions}; {receipt['artifacts']} results of steps, {journal['predictions']} predictions "
            f"and {journal['outcomes']} outcomes went; marked: {', '.join(receipt['model_versions'])}"
        )
        faults = [one["fault"] for one in self.clew("data", "verify") if one["fault"]]
        say(f"every other row is as it was: {len(faults)} of the versions that are left have a fault")
        say("The same file again would bring the seller back:")
        refusal = self.clew("data", "add", "house-sales", str(self.files.to_1996), refused=True)
        for line in refusal.strip().splitlines():
            say(line)
        self.summary["erasure"] = receipt

    @property
    def traffic(self) -> pl.DataFrame:
        """Requests are about houses that stand; of plots the table shows the house that was built later."""
        return self.files.sales.filter(pl.col("year_built") < pl.col("sold_on").dt.year())

    def run(self) -> None:
        """All parts."""
        self.timed("data", self.data)
        self.timed("build", self.build)
        self.clew(
            "endpoint",
            "create",
            ENDPOINT,
            "--model",
            "house-price@1",
            "--entity",
            "sale_id",
            "--occurred-at",
            "1996-01-01",
        )
        aside = self.files.sales.height - self.traffic.height
        say(f"{aside} sales of plots are set aside: their table row shows the house that was built after the sale")
        fields = [name for name in self.files.sales.columns if name not in ("price_usd", "assessed_usd")]
        with Server(self.clew, ENDPOINT) as server:
            replay = Replay(server, fields)
            self.timed("1996", self.first_year, replay)
            self.timed("monitor", self.monitor)
            self.timed("1997", self.second_version, replay)
            self.timed("1998", self.faulty_versions, replay)
        self.timed("worse", self.worse)
        self.timed("why", self.thread, replay)
        self.timed("way back", self.way_back)
        self.timed("forgotten", self.forgotten)
        self.summary["requests"], self.summary["outcomes"] = replay.requests, replay.outcomes


def _parameters(values: dict[str, Any]) -> str:
    """Parameters as one would say them."""
    return ", ".join(f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}"
                     for name, value in values.items())  # fmt: skip


def ended(clock: dict[str, Any]) -> bool:
    """Whether no candidate is left."""
    return all(len(one["targets"]) == 1 for one in clock["endpoints"])


def steps(run: dict[str, Any]) -> str:
    """What became of each step, in one line."""
    return ", ".join(f"{one['name']} {one['status']}" for one in run["steps"])


def closing(demo: Demo, seconds: float) -> None:
    """The table of what happened, and where to look."""
    title("What happened")
    for reference, made in demo.summary["versions"].items():
        say(f"{reference:15} MAE on its own test {made['metrics']['mae']:8,.0f}")
    for one in demo.summary["rollouts"]:
        last = one["decisions"][-1] if one["decisions"] else {"requests": 0, "outcomes": 0}
        say(
            f"{one['candidate']:15} ({one['name']}) {one['state'].replace('_', ' ')} "
            f"after {last['requests']:,} requests and {last['outcomes']:,} outcomes"
        )
    for one in demo.summary["bisections"]:
        say(f"{one['bad']:15} is worse by {one['says'].partition(': ')[2]}")
    say(f"{'house-price@1':15} rebuilt: {demo.summary['rebuild']['verdict']}")
    say(f"{demo.summary['requests']:,} requests, {demo.summary['outcomes']:,} outcomes, {seconds:.0f} s in all")
    out = Path.cwd() / "demo-summary.json"
    out.write_text(json.dumps(demo.summary, indent=2, default=str) + "\n")
    say(f"all figures: {out.name}")
    say("Look at it:")
    show(f".venv/bin/clew hub --workspace {shown(demo.folder)}")


def shown(folder: Path) -> str:
    """The folder as one would type it here."""
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)


def main() -> None:
    """Make the workspace anew, and run all parts."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-workspace").resolve()
    if folder.exists():
        if not (folder / "sources").is_dir():
            raise SystemExit(f"{folder} is there, and is no workspace of the demo: name another folder")
        shutil.rmtree(folder)
    started = time.monotonic()
    demo = Demo(folder)
    demo.run()
    demo.summary["seconds"]["all"] = round(time.monotonic() - started, 1)
    closing(demo, time.monotonic() - started)


if __name__ == "__main__":
    main()
    console.print()
