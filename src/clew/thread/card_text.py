"""A model card as Markdown, for people."""

from collections.abc import Iterator, Sequence
from typing import Any

from clew.thread.words import amount, moment, plain, share

Fact = dict[str, Any]


def markdown(card: Fact) -> str:
    """The card; what users and files said is escaped, so that it stays text."""
    return "\n".join(_lines(card)).rstrip() + "\n"


def _lines(card: Fact) -> Iterator[str]:
    yield f"# {text(card['model'])}"
    yield ""
    yield f"{card['state']}, {card['provenance']}: {card['promise']}."
    if card["refused_because"]:
        yield ""
        yield f"**Refused:** {text(card['refused_because'])}"
    yield from _section("Intended use")
    said = card["described"]
    yield text(card["intended_use"]) if card["intended_use"] else "Nobody has said yet what it is for."
    if said:
        yield ""
        yield f"Said of {text(said['of'])} by {text(said['by'])}, {moment(said['at'])}."
    yield from _section("Where it is live")
    for one in card["live"]:
        part = f"{share(one['share'])} of the traffic" if one["share"] else "in shadow"
        yield f"- {text(one['endpoint'])}: as {one['role']}, {part}, since {moment(one['since'])}"
    if not card["live"]:
        yield "Nowhere."
    yield from _section("Data")
    yield from _data(card["data"])
    yield from _leakage(card["leakage"])
    yield from _section("Metrics")
    yield f"On its test rows{_of(card['predicts'])}; intervals hold {card['level']:.0%}."
    yield ""
    yield from _table(
        ("metric", "value", "interval"),
        [(one["metric"], amount(one["value"]), _ends(one)) for one in card["metrics"]],
    )
    if card["slices"]:
        yield from _section("By slice")
        yield from _table(("slice", "rows", "metric", "value", "interval", ""), [_slice(one) for one in card["slices"]])
    yield from _section("Limits")
    yield from _limits(card["limits"])
    yield from _section("Acceptance")
    for one in card["verdicts"]:
        yield f"- {'met' if one.get('met') else '**not met**'}: {text(one.get('why') or _judged(one))}"
    if not card["verdicts"]:
        yield "No criteria were declared."
    yield from _comparison(card["comparison"])
    yield from _section("Takes")
    yield from _table(
        ("input", "type", "may be missing"),
        [(one["name"], one["kind"], "yes" if one["nullable"] else "no") for one in card["takes"]],
    )
    yield from _section("Lineage")
    yield from _lineage(card)


def _section(title: str) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""


def _of(target: str | None) -> str:
    return f", of {text(target)}" if target else ""


def _ends(one: Fact) -> str:
    return "–" if one.get("low") is None else f"{amount(one['low'])} to {amount(one['high'])}"


def _slice(one: Fact) -> tuple[str, ...]:
    metric = one.get("metric") or next((name for name in one if name not in ("slice", "value", "rows")), "")
    label = f"{one.get('slice')} = {one.get('value')}"
    weak = "weak" if one.get("weak") else ""
    return (label, amount(one.get("rows")), metric, amount(one.get(metric)), _ends(one), weak)


def _judged(one: Fact) -> str:
    return f"{one.get('criterion')} (it is {amount(one.get('value'))}, the limit {amount(one.get('limit'))})"


def _limits(limits: Fact) -> Iterator[str]:
    yield text(limits["declared"]) if limits["declared"] else "Nobody has said yet where it must not be trusted."
    weak = limits["weak_slices"]
    if weak:
        yield ""
        yield "Slices that are worse than the others by more than chance (of all slices together, at 5%):"
        yield ""
        for one in weak:
            yield (
                f"- {text(one['slice'])} = {text(one['value'])}: {one['metric']} {amount(one[one['metric']])} "
                f"on {amount(one['rows'])} rows"
            )


def _data(data: Fact) -> Iterator[str]:
    for one in data["snapshots"]:
        contract = one["contract"]
        checked = "no contract was checked"
        if contract:
            findings = contract["findings"]
            checked = f"contract {'kept' if contract['passed'] else 'broken'}, {findings} findings"
        yield (
            f"- {text(one['snapshot'])} as {text(one['role'])}: {amount(one['rows'])} rows, "
            f"of {moment(one['occurred_at'])}; {checked}"
        )
        if one["erased_rows"]:
            yield f"  - {amount(one['erased_rows'])} rows were erased since"
        for policy in one["policies"]:
            yield f"  - {text(policy['column'])}: {text(policy['action'])}, since {text(policy['reason'])}"
    for one in data["rows"]:
        period = one["period"]
        when = f", {text(period['column'])} from {period['first']} to {period['last']}" if period else ""
        rows = "files as they came" if one["rows"] is None else f"{amount(one['rows'])} rows"
        yield f"- {text(one['role'])}: {rows}{when}"


def _leakage(found: list[Fact] | None) -> Iterator[str]:
    """What leaks into training or test; nothing where nobody looked."""
    if found is None:
        return
    yield ""
    yield "Leakage was looked for: " + (f"{len(found)} findings." if found else "nothing was found.")
    if found:
        yield ""
    for one in found:
        yield f"- **{text(one['column'])}**: {text(one['message'])}"


def _comparison(found: Fact | None) -> Iterator[str]:
    if not found:
        return
    yield ""
    if "problem" in found:
        yield f"Beside {text(found['a'])} ({text(found['because'])}): can't be compared: {text(found['problem'])}"
        return
    yield f"Beside {text(found['a'])} ({text(found['because'])}), on the same {amount(found['rows'])} test rows:"
    yield ""
    yield from _table(
        ("metric", found["a"], "this", "difference", "interval", ""),
        [
            (one["metric"], amount(one["a"]), amount(one["b"]), amount(one["difference"]), _ends(one), one["verdict"])
            for one in found["metrics"]
        ],
    )


def _lineage(card: Fact) -> Iterator[str]:
    made, line = card["made"], card["lineage"]
    code, environment = line["code"], line["environment"]
    yield f"- model: {card['id']}, made {moment(made['at'])} by {text(made['by'])}"
    yield f"- run: {line['run']} ({text(line['pipeline'])}, {text(line['entry'])})"
    for name, value in (line["parameters"] or {}).items():
        yield f"- parameter {text(name)}: {text(amount(value))}"
    if code:
        commit = f", commit {code['git_commit'][:12]}" if code["git_commit"] else ""
        yield f"- code: {code['content_id']}{commit}{' with changes' if code['git_dirty'] else ''}"
    else:
        yield "- code: not recorded"
    if environment:
        yield f"- environment: Python {environment['python']} on {environment['platform']}, {environment['content_id']}"
    else:
        yield "- environment: not recorded"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    if not rows:
        yield "None."
        return
    yield f"| {' | '.join(text(one) for one in columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(text(one) for one in row)} |"


_SPECIAL = str.maketrans({one: f"\\{one}" for one in "\\`*_[]<>|#"} | {"&": "&amp;"})


def text(value: Any) -> str:
    """A value as plain text of Markdown: nothing in it is a mark, a link or HTML, and it stays on one line."""
    return plain(str(value).replace("\n", " ").replace("\r", " ")).translate(_SPECIAL)
