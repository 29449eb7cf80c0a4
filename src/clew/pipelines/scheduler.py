"""The schedule of one run: which steps can begin, which are in the cache, where the others run, and what follows.

A step begins when all that it needs is there; the first one wired goes first. One that ran before with the same key is
taken from the cache; any other is called in this process, or offered to an executor that has others.
"""

import bisect
import contextlib
import heapq
import os
import random
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from clew.catalog import now
from clew.catalog.commands import FinishStep
from clew.data import find as find_snapshot
from clew.errors import ClewError, OutsideError, StepError
from clew.pipelines import fitting, handing, keys, state, tracebacks, work
from clew.pipelines._step import Step
from clew.pipelines.before import Before
from clew.pipelines.cache import Cache
from clew.pipelines.context import Prepared, RunContext
from clew.pipelines.executors.base import Work
from clew.pipelines.graph import Choice, Graph, Handle, Node
from clew.pipelines.handing import Arguments
from clew.pipelines.journal import Journal
from clew.pipelines.places import Places
from clew.pipelines.reach import Reach, Reached
from clew.pipelines.results import Observer, PrunedError, StepResult
from clew.pipelines.values import Stored
from clew.pipelines.work import Done, Failure

_AHEAD: Final = 200  # steps whose keys are made before the first of them begins, where others run them


class Scheduler:
    """The steps of one run.

    Args:
        name: the pipeline's name.
        graph: its calls.
        context: the run.
        observer: told of each step.
        imported: hashes of what the code read while it was imported.
        doubts: why no step of this run can be cached.
        under_way: keys of steps that run now, in this run and others beside it, and who waits for them.
    """

    def __init__(
        self,
        name: str,
        graph: Graph,
        context: RunContext,
        observer: Observer,
        *,
        imported: dict[str, str | None],
        doubts: list[str],
        under_way: "dict[str, list[tuple[Scheduler, Node]]]",
    ) -> None:
        self.context = context
        self.result = context.result
        self.error: BaseException | None = None
        self.parallel = False  # whether others run its steps, so that many can be prepared at once
        self._observer = observer
        self._imported = imported
        self._doubts = doubts
        self._under_way = under_way
        self._reach = Reach(context.code)
        self._cache = Cache(context.workspace)
        self.journal = Journal(context.workspace)
        self._given: dict[tuple[Node | Choice, str], Stored | list[Stored]] = {}
        self._ordinal: dict[Node, int] = {}
        self._needs: dict[Node | Choice, set[Node | Choice]] = {}
        self._needed_by: dict[Node | Choice, list[Node | Choice]] = {}
        self._absent: set[Node | Choice] = set()  # settled without a result
        self._open: dict[Node, int] = {}  # how many calls of a mapped step aren't done yet
        self._calls: dict[Node, list[Node]] = {}  # of a mapped step, once it is known how many
        self._of: dict[Node, Node] = {}  # the mapped step that a call belongs to
        self._ready: list[tuple[tuple[int, ...], int, Node | Choice]] = []
        self._fresh: list[Prepared] = []  # to be called, in order
        self._later: list[tuple[float, int, Prepared]] = []  # to be tried again, by when
        self._here: dict[Node, str] = {}  # those that only this process can run, and why
        self._called = 0  # how many calls were made in this process
        self._running: dict[Node, Prepared] = {}
        self._unfinished = 0
        self._told: list[tuple[int, ...]] = []  # where each of the result's steps stands in that order
        self._places = Places(context, self._reach)
        self._before = Before(context.workspace.catalog, name, context.run_id)
        self._counter = 0
        self._same: dict[int, Reached] = {}
        for node in graph.nodes:
            self._admit(node)
        for choice in graph.choices:
            self._admit(choice)

    # What there is to do.

    def _admit(self, node: Node | Choice) -> None:
        self._unfinished += 1
        if isinstance(node, Node):
            self._ordinal[node] = len(self._ordinal)
        needs = {one for one in node.upstream() if not self._is_settled(one)}
        self._needs[node] = needs
        for one in needs:
            self._needed_by.setdefault(one, []).append(node)
        if not needs:
            self._push(node)

    def _is_settled(self, node: Node | Choice) -> bool:
        return node in self._absent or any((node, output) in self._given for output in _outputs(node))

    def _push(self, node: Node | Choice) -> None:
        self._counter += 1
        order = self._order(node)
        heapq.heappush(self._ready, (order, self._counter, node))

    def _order(self, node: Node | Choice) -> tuple[int, ...]:
        if isinstance(node, Choice):
            return (-1,)
        owner = self._of.get(node)
        return (self._ordinal[node],) if owner is None else (self._ordinal[owner], self._ordinal[node])

    @property
    def ended(self) -> bool:
        """Whether nothing is under way, and nothing will begin."""
        return not self._running and (self._unfinished == 0 or self.error is not None)

    @property
    def running(self) -> int:
        """How many steps are under way."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many could begin."""
        return len(self._ready) + len(self._fresh)

    def number_of(self, metric: str) -> float | None:
        """A metric of this run: of an evaluation that a step gave, or the number that the step of that name gave."""
        if metric in self.result.metrics:
            return self.result.metrics[metric]
        objects = self.context.workspace.objects
        for (node, output), stored in self._given.items():
            if isinstance(stored, list) or stored.spec.kind != "value" or not isinstance(node, Node):
                continue
            value = stored.load(objects, node.hint_of(output))
            inner = getattr(value, "metrics", None)
            if isinstance(inner, Mapping):
                self.result.metrics.update({name: float(one) for name, one in inner.items()})
            elif node.name == metric and isinstance(value, int | float):
                return float(value)
        return self.result.metrics.get(metric)

    def number_from(self, name: str) -> float | None:
        """The number that the step of this name in this run gave, once it has; None where it gave none."""
        for (node, output), stored in self._given.items():
            if isinstance(node, Node) and node.name == name and isinstance(stored, Stored):
                value = stored.load(self.context.workspace.objects, node.hint_of(output))
                return float(value) if isinstance(value, int | float) else None
        return None

    def due(self) -> float:
        """In how many seconds something is to be done that nobody else announces."""
        again = self._later[0][0] - time.monotonic() if self._later and self.error is None else float("inf")
        return max(0.0, min(again, self.journal.due()))

    def look_ahead(self, most: int) -> list[Prepared]:
        """Settle what needs no call, and prepare calls until there are so many; give those that are to be called."""
        if self.error is not None:
            return []
        while self._later and self._later[0][0] <= time.monotonic():
            self._fresh.insert(0, heapq.heappop(self._later)[2])
        while self._ready and len(self._fresh) < most and self.error is None:
            self._prepare_some(min(most - len(self._fresh), _AHEAD) if self.parallel else 1)
        return self._fresh

    def put_back(self, keep: int) -> None:
        """Forget what was prepared but for the first ones: what is called here now may change what they depend on."""
        stay = [one for number, one in enumerate(self._fresh) if number < keep or one.claimed or one.attempts]
        for prepared in self._fresh:
            if prepared not in stay:
                self._push(prepared.node)
        self._fresh[:] = stay

    def begin(self, prepared: Prepared) -> None:
        """A prepared call is begun."""
        self._fresh.remove(prepared)
        prepared.started = now()
        prepared.attempts = max(1, prepared.attempts)
        self._running[prepared.node] = prepared
        if prepared.attempts == 1:
            self._observer(prepared.node.name, "running", prepared.why)

    def must_wait(self, prepared: Prepared) -> bool:
        """Whether the same is being made now; then its result will be taken."""
        if prepared.claimed or not prepared.cacheable:
            return False
        waiting = self._under_way.get(prepared.key)
        if waiting is None:
            self._under_way[prepared.key] = []
            prepared.claimed = True
            return False
        waiting.append((self, prepared.node))
        self._fresh.remove(prepared)
        return True

    def why_here(self, prepared: Prepared) -> str | None:
        """Why only this process can run it; None when others can."""
        return self._here.get(prepared.node) if self._places.of(prepared.node.step) else "no file holds it by name"

    def seconds_before(self) -> float | None:
        """How long all that could begin now took when it last ran; None when anything of it hasn't run before."""
        nodes = [node for *_, node in self._ready if isinstance(node, Node)] + [one.node for one in self._fresh]
        return self._before.seconds(nodes)

    # Preparing.

    def _prepare_some(self, most: int) -> None:
        calls: list[Prepared] = []
        while self._ready and len(calls) < most:
            *_, node = heapq.heappop(self._ready)
            try:
                prepared = self._prepare(node)
            except ClewError as error:
                assert isinstance(node, Node)
                self._fail(node, error=error, failure=Failure(type(error).__name__, str(error), own=error))
                break
            if prepared is not None:
                calls.append(prepared)
            elif isinstance(node, Node) and node.step.in_driver:
                break
        found = self._cache.find({one.key: one.node.outputs for one in calls if one.cacheable})
        for key, damage in self._cache.notes.items():
            for one in calls:
                if one.key == key:
                    self.result.notes.append(
                        f"{one.node.name}: what was cached can't be used ({damage}); it runs again"
                    )
        self._cache.notes.clear()
        self._before.say_why([one for one in calls if one.key not in found or not one.cacheable])
        for one in calls:
            outputs = found.get(one.key) if one.cacheable else None
            if outputs is None:
                self._fresh.append(one)
            else:
                self._finish(one.node, "cached", "nothing that it depends on changed", prepared=one, outputs=outputs)

    def _prepare(self, node: Node | Choice) -> Prepared | None:
        """All that a call's key is made of; None for what is settled without a call. Raises ClewError."""
        if isinstance(node, Choice):
            self._choose(node)
            return None
        skipped = self._why_skipped(node)
        if skipped:
            self._finish(node, "skipped", skipped)
            return None
        if node.over:
            self._expand(node)
            return None
        if node.step.in_driver:
            self._run_in_driver(node)
            return None
        reached = self._reached(node.step)
        arguments = handing.arguments(node, self._given, self.context.snapshots)
        inputs = {name: handing.content_id(node.step, name, one) for name, one in arguments.inputs.items()}
        parts = keys.parts(
            node,
            self.context.code,
            self.context.environment_id,
            inputs,
            arguments.constants,
            reached=reached,
            imported=self._imported,
        )
        doubts = [] if not node.step.cache else [*self._doubts, *_unseen(node, reached)]
        return Prepared(node, arguments, parts, keys.key(parts), doubts, reached.values, after=self._called)

    def _reached(self, step: Step[..., Any]) -> Reached:
        """What a step reaches; looked at again for each call, unless no step runs here that could change it."""
        if self.parallel and id(step) in self._same:
            return self._same[id(step)]
        for module in self._reach.modules():
            state.forget_memories(module)
        found = self._same[id(step)] = self._reach.of(step)
        return found

    def _why_skipped(self, node: Node) -> str:
        for handle, holds in node.conditions:
            if handle.node in self._absent:
                return f"{handle.node.name}, which would decide, was skipped"
            if self._decided(handle) is not holds:
                return f"{handle.node.name} gave {not holds}"
        lacking = next((one for one in node.upstream() if one in self._absent), None)
        return "" if lacking is None else f"{lacking.name}, which it needs, was skipped"

    def _decided(self, condition: Handle) -> bool:
        stored = self._given[condition.node, condition.output]
        value = None if isinstance(stored, list) else stored.load(self.context.workspace.objects, condition.hint)
        if not isinstance(value, bool):
            raise StepError(
                f"{condition.node.name} decides which branch runs, and gave {value!r}",
                mend="let it give True or False",
            )
        return value

    def _choose(self, choice: Choice) -> None:
        if choice.condition.node in self._absent:
            return self._settle(choice, None)
        chosen = choice.branches[self._decided(choice.condition)]
        lacking = chosen is None or chosen.node in self._absent
        return self._settle(choice, None if lacking else {"result": self._given[chosen.node, chosen.output]})

    def _expand(self, node: Node) -> None:
        """Make the calls of a mapped step, now that its lists are known."""
        elements = handing.elements(node, self._given, self.context.workspace.objects)
        self._calls[node] = []
        self._open[node] = len(elements)
        for number, element in enumerate(elements, start=1):
            fitting.check(node.step, element, node.where)
            name = node.name if number == 1 else f"{node.name}-{number}"
            call = Node(node.step, name, {**node.arguments, **element}, node.outputs, node.where)
            self._calls[node].append(call)
            self._of[call] = node
            self._admit(call)
        if not elements:
            self._settle(node, {output: [] for output in node.outputs})

    def _run_in_driver(self, node: Node) -> None:
        """A step of clew's own: it is handed what is stored, not what is loaded."""
        self.journal.write()
        started = now()
        self._observer(node.name, "running", "")
        arguments = {
            name: self._given[value.node, value.output] if isinstance(value, Handle) else value
            for name, value in node.arguments.items()
        }
        inputs = {name: value for name, value in arguments.items() if isinstance(value, Stored)}
        try:
            status, why = node.step.function(self.context, **arguments)
        except Exception as error:  # noqa: BLE001 - the model's own code may raise anything
            own = error if isinstance(error, ClewError) else None
            text = str(error) if own else tracebacks.of_step(error)
            failure = Failure(type(error).__name__, text, own=own, error=error)
            self._fail(node, failure=failure, error=error, started=started, inputs=inputs)
            return
        self._finish(node, status, why, started=started, inputs=inputs)

    # Calling.

    def task(self, prepared: Prepared) -> work.Task:
        """What a process needs to make this call."""
        node = prepared.node
        return work.Task(
            name=node.name,
            place=self._places.of(node.step),
            arguments=prepared.arguments,
            values=prepared.values,
            declared={name: prepared.parts[name] for name in ("files", "env")},
            env={name: os.environ.get(name) for name in node.step.env},
            allowed=self._places.readable(node.step),
            timeout=node.step.timeout,
        )

    def as_work(self, prepared: Prepared) -> Work:
        """The same, for an executor."""
        step = prepared.node.step
        return Work(self.task(prepared), step.name, step.resources, step.timeout, (self, prepared))

    def call_here(self, prepared: Prepared) -> None:
        """Make the call in this process, and take what it gives."""
        self.journal.write()
        step, workspace = prepared.node.step, self.context.workspace
        if prepared.node in self._here and self._has_moved(prepared):
            return
        self.begin(prepared)
        done = work.call(
            self.task(prepared), step, workspace.objects, self.context.code, lambda name: find_snapshot(workspace, name)
        )
        self._called += 1
        if done.touched:
            self._reach.settle()
        self._same.clear()
        self.take(prepared, done)

    def _has_moved(self, prepared: Prepared) -> bool:
        """Whether a call made here since has changed what this one's code finds: then its key is made anew."""
        if prepared.attempts > 1 or prepared.after == self._called:
            return False
        self._same.clear()
        if dict(self._reached(prepared.node.step).values) == dict(prepared.values):
            return False
        self._fresh.remove(prepared)
        self._release(prepared)
        self._push(prepared.node)
        return True

    def take(self, prepared: Prepared, done: Done) -> None:
        """Take what became of a call."""
        node, step = prepared.node, prepared.node.step
        del self._running[node]
        if done.elsewhere:
            self._here[node] = done.elsewhere
            self.result.notes.append(f"{node.name} ran in the pipeline's own process: {done.elsewhere}")
            self._fresh.insert(0, prepared)
            return
        prepared.log += done.log
        if done.failure is not None:
            self._failed_once(prepared, done.failure)
            return
        if prepared.attempts > 1:
            prepared.why += f"; it was tried {prepared.attempts} times"
        doubts = list(prepared.doubts)
        if done.changed:
            doubts.append("what it declares changed while it ran (mend: run it again)")
        if step.cache:
            doubts += [f"it reads {what}, which it doesn't declare (mend: {mend})" for what, mend in done.reads.items()]
        why = f"{prepared.why}; not cached, since {'; '.join(doubts)}" if doubts else prepared.why
        kept = prepared.key if step.cache and not doubts else None
        self._finish(node, "ran", why, prepared=prepared, outputs=done.outputs, key=kept)
        self._release(prepared)

    def _failed_once(self, prepared: Prepared, failure: Failure) -> None:
        """Try again, later; or fail."""
        node, step = prepared.node, prepared.node.step
        if prepared.attempts > step.retries or failure.final or self.error is not None:
            self._fail(node, failure=failure, error=failure.error, prepared=prepared)
            self._release(prepared)
            return
        pause = step.wait * 2 ** (prepared.attempts - 1) * random.uniform(1, 1.25)  # noqa: S311 - apart from others
        said = f"attempt {prepared.attempts} raised {failure.kind}; again in {pause:.1f} s"
        prepared.log += f"{failure.text}{said}\n"
        prepared.attempts += 1
        self._observer(node.name, "running", said)
        self._counter += 1
        heapq.heappush(self._later, (time.monotonic() + pause, self._counter, prepared))

    def _release(self, prepared: Prepared) -> None:
        """Tell those who wait for the same: they find it in the cache now, or make it themselves."""
        waiting = self._under_way.pop(prepared.key, []) if prepared.claimed else []
        if waiting:
            self.journal.write()
        for scheduler, node in waiting:
            scheduler._push(node)  # noqa: SLF001 - its own kind

    # Finishing.

    def _finish(
        self,
        node: Node,
        status: Any,
        why: str,
        *,
        prepared: Prepared | None = None,
        outputs: Mapping[str, Stored] | None = None,
        key: str | None = None,
        started: datetime | None = None,
        inputs: Mapping[str, Stored] | None = None,
    ) -> None:
        if inputs is None:
            inputs = {} if prepared is None else _stored(prepared.arguments)
        log = "" if prepared is None else prepared.log
        self.journal.add(
            FinishStep(
                run_id=self.context.run_id,
                ordinal=self._ordinal[node],
                name=node.name,
                state=status,
                cache_key=prepared.key if prepared is not None and status == "cached" else key,
                key_parts=None if prepared is None else prepared.parts,
                why=why,
                log=self.context.workspace.objects.put(_printable(log).encode()).digest if log else None,
                inputs={name: value.spec for name, value in inputs.items()},
                outputs={name: value.spec for name, value in (outputs or {}).items()},
                started_at=started or (now() if prepared is None else prepared.started),
            )
        )
        self._tell(node, status, why)
        # A step of clew's own gives nothing to others; what it needs has been there.
        self._settle(node, None if status == "skipped" else dict(outputs or {}))

    def _tell(self, node: Node, status: str, why: str, text: str | None = None) -> None:
        """Say what became of a step; the result has them in the order in which they were wired."""
        at = bisect.bisect(self._told, self._order(node))
        self._told.insert(at, self._order(node))
        self.result.steps.insert(at, StepResult(node.name, status, why))
        self._observer(node.name, status, why if text is None else text)

    def _settle(self, node: Node | Choice, outputs: Mapping[str, Stored | list[Stored]] | None) -> None:
        """What a node gives is known, or (None) that it gives nothing; what waited for it may begin."""
        self._unfinished -= 1
        for name, stored in (outputs or {}).items():
            self._given[node, name] = stored
        if not outputs:
            self._absent.add(node)
        for one in self._needed_by.pop(node, []):
            self._needs[one].discard(node)
            if not self._needs[one]:
                self._push(one)
        owner = self._of.get(node) if isinstance(node, Node) else None
        if owner is not None:
            self._collect(owner)

    def _collect(self, owner: Node) -> None:
        """A call of a mapped step is done; when all are, the mapped step is."""
        calls = self._calls[owner]
        self._open[owner] -= 1
        if self._open[owner] == 0:
            lists: dict[str, Stored | list[Stored]] = {}
            for output in owner.outputs:
                found = [self._given[call, output] for call in calls]
                lists[output] = [one for one in found if isinstance(one, Stored)]
            self._settle(owner, lists)

    def _fail(
        self,
        node: Node,
        *,
        failure: Failure,
        error: BaseException | None,
        prepared: Prepared | None = None,
        started: datetime | None = None,
        inputs: Mapping[str, Stored] | None = None,
    ) -> None:
        """Keep the failure; the run ends with it, the user's own traceback first."""
        text = _printable(failure.text)
        log = "" if prepared is None else prepared.log
        if inputs is None:
            inputs = {} if prepared is None else _stored(prepared.arguments)
        with contextlib.suppress(OutsideError):  # the disk may be full: what the step raised is what is to be said
            self.journal.add(
                FinishStep(
                    run_id=self.context.run_id,
                    ordinal=self._ordinal[node],
                    name=node.name,
                    state="failed",
                    cache_key=None if prepared is None else prepared.key,
                    key_parts=None if prepared is None else prepared.parts,
                    why="it raised",
                    error=text,
                    log=self.context.workspace.objects.put(_printable(log).encode()).digest if log else None,
                    inputs={name: value.spec for name, value in inputs.items()},
                    started_at=started or (now() if prepared is None else prepared.started),
                )
            )
            self.journal.write()
        self._tell(node, "failed", "it raised", text)
        self._unfinished -= 1
        self._absent.add(node)
        if self.error is not None:
            return
        if failure.own is not None:
            self.error = failure.own
            return
        self.error = StepError(
            f"{text}step {node.name} ({node.step.source}) raised {failure.kind}",
            mend="mend the step and run again: finished steps are taken from the cache",
        )
        self.error.__cause__ = error

    def skip_rest(self) -> None:
        """After a failure: whatever has not begun is kept as skipped."""
        told = {step.name for step in self.result.steps}
        for node in sorted(self._ordinal, key=lambda one: self._ordinal[one]):
            if node.name not in told and not (node.over and node in self._calls):
                self._skip(node)
        self.journal.write()

    def _skip(self, node: Node) -> None:
        why = "the trial was ended early" if isinstance(self.error, PrunedError) else "a step before it failed"
        self.journal.add(
            FinishStep(
                run_id=self.context.run_id,
                ordinal=self._ordinal[node],
                name=node.name,
                state="skipped",
                cache_key=None,
                key_parts=None,
                why=why,
                started_at=now(),
            )
        )
        self._tell(node, "skipped", why)


def _outputs(node: Node | Choice) -> Sequence[str]:
    return node.outputs if isinstance(node, Node) else ("result",)


def _stored(arguments: Arguments) -> dict[str, Stored]:
    return {name: value for name, value in arguments.inputs.items() if isinstance(value, Stored)}


def _unseen(node: Node, reached: Reached) -> list[str]:
    """Why what this step depends on can't be known, in words."""
    hidden = state.of_closure(node.step.function)
    found = [
        f"its function holds a {kind} that can't be seen into (mend: hand it over as an argument)" for kind in hidden
    ]
    if not node.step.vouched:
        found += [
            f"it may use {what}, which can't be seen (mend: declare what it reads and say @clew.step(cache=True))"
            for what in reached.closure.unseen
        ]
    return found


def _printable(text: str) -> str:
    """Text as a database can keep it: no lone surrogates, no NUL."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
