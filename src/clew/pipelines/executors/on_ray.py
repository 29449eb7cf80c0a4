"""Steps on a Ray cluster: each call is a Ray task, done by a process of the pool on whatever node Ray chooses.

Ray places and, when a node is lost, repeats; the process that calls the step is the same as on one machine, so that
what it reads is watched, its time can be ended, and its values are compared with those of the key.
"""

import os
import pickle
import platform
import time
from collections.abc import Callable
from typing import Any, Final

from clew.errors import MissingDependencyError, OutsideError, UsageError
from clew.pipelines.executors.base import Work
from clew.pipelines.executors.processes import packed, pool_for
from clew.pipelines.executors.worker import Setting, pack, unpack
from clew.pipelines.resources import Resources
from clew.pipelines.work import Done, Failure

_PATIENCE: Final = 180.0  # seconds: a busy machine takes longer than Ray's own 30 to start a node
_REPEATS: Final = 5  # of a task whose node was lost
_AHEAD: Final = 4  # tasks for each processor of the cluster that Ray may hold


class RayCluster:
    """A Ray cluster: the one that RAY_ADDRESS names, or that this process is connected to; else one on this machine.

    Args:
        setting: the code, and what it needs.
        is_local: whether the workspace is a folder of this machine.

    Raises:
        MissingDependencyError: Ray isn't installed.
        UsageError: a folder can't be reached from several nodes.
        OutsideError: the cluster can't be reached.
    """

    def __init__(self, setting: Setting, *, is_local: bool) -> None:
        self._ray, self._own = _connected()
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        others = [node for node in nodes if node.get("NodeManagerHostname", platform.node()) != platform.node()]
        if is_local and (len(nodes) > 1 or others):
            raise UsageError(
                f"this workspace is a folder of this machine, and the Ray cluster has {len(nodes)} nodes",
                mend="clew init --catalog postgresql://… --objects s3://…, or --executor processes",
            )
        self._setting = self._ray.put(pickle.dumps(setting))
        self._do = self._ray.remote(_do)
        self._under_way: dict[Any, Work] = {}
        self._ready: list[tuple[Work, Done]] = []

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._under_way or self._ready)

    def offer(self, work: Work) -> bool:
        """Take the work, unless Ray has plenty to choose from."""
        cpus = self._ray.cluster_resources().get("CPU", 1)
        if len(self._under_way) >= _AHEAD * cpus:
            return False
        body = packed(work.task)
        if isinstance(body, Done):
            self._ready.append((work, body))
            return True
        needed = work.resources
        task = self._do.options(
            num_cpus=min(needed.cpus, cpus),
            num_gpus=needed.gpus,
            memory=needed.memory or None,
            max_retries=_REPEATS,
            name=work.step,
        )
        self._under_way[task.remote([self._setting], body, work.step, work.timeout)] = work
        return True

    def wait(self, seconds: float | None) -> list[tuple[Work, Done]]:
        """What was done since; waits for the first of it, at most so long (None: as long as it takes)."""
        if self._under_way and not self._ready:
            refs = list(self._under_way)
            self._ray.wait(refs, num_returns=1, timeout=seconds)
            done, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
            self._ready += [(self._under_way.pop(ref), self._taken(ref)) for ref in done]
        ready, self._ready = self._ready, []
        return ready

    def _taken(self, ref: Any) -> Done:
        try:
            return unpack(self._ray.get(ref))
        except self._ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()
            return Done(failure=Failure(type(error).__name__, f"{said[0] if said else 'Ray lost it'}\n"))

    def cancel(self) -> None:
        """End all that is under way, and forget it."""
        for ref in self._under_way:
            self._ray.cancel(ref, force=True)
        self._under_way.clear()
        self._ready.clear()

    def release(self) -> None:
        """Disconnect, unless somebody else had connected."""
        if self._own:
            self._ray.shutdown()


def _connected() -> tuple[Any, bool]:
    """Ray, connected, and whether by this; a node that is slow to start is waited for.

    Raises MissingDependencyError, OutsideError.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError("Ray isn't installed", mend="pip install clew[ray]") from error
    own = not ray.is_initialized()
    if own:
        address = os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
        if address is None:
            options["include_dashboard"] = False
        _patiently(lambda: ray.init(address=address, **options), address)
    return ray, own


def _patiently(start: Callable[[], Any], address: str | None) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            start()
        except Exception as error:
            if time.monotonic() >= end or isinstance(error, ValueError):
                raise OutsideError(
                    f"the Ray cluster {address or 'of this machine'} can't be reached: {error}",
                    mend="ray status says how it is; RAY_ADDRESS names another one",
                ) from error
            time.sleep(2)
        else:
            return


def _do(setting: list[Any], body: bytes, step: str, timeout: float | None) -> bytes:
    """In a process of Ray's: have a process of the pool make the call; give what it said."""
    import ray

    pool = pool_for(pickle.loads(ray.get(setting[0])), 1)  # noqa: S301 - from the driver of this run
    while not pool.offer(Work(body, step, Resources(), timeout, None)):
        pool.wait(1.0)
    while True:
        for _, done in pool.wait(None):
            return pack(done)
