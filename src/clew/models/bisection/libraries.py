"""What differs in what was installed, as far as steps reach it, and the Pythons that have a mixture of it."""

import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import builds
from clew.models import environments
from clew.models.bisection.changes import Change
from clew.models.registry import ModelVersion
from clew.pipelines import environment

Lock = dict[str, str]


class Libraries:
    """The locks of two versions, and environments with mixtures of them.

    Args:
        good: the good version.
        bad: the bad one.
        reached: distributions that the steps of either use; None where that isn't known, so that all count.
        folder: where environments are made.
        wheels: a folder with wheels, if no index is to be asked.
    """

    def __init__(
        self, good: ModelVersion, bad: ModelVersion, reached: set[str] | None, folder: Path, wheels: Path | None
    ) -> None:
        self._folder, self._wheels = folder, wheels
        self._rows = [_environment(one) for one in (good, bad)]
        locks = [environments.read_lock(one.workspace.objects.get(row.digest).decode()) for one, row in
                 zip((good, bad), self._rows, strict=True)]  # fmt: skip
        self.good, self.bad = ({n: v for n, v in lock.items() if reached is None or n in reached} for lock in locks)
        self._current = environments.read_lock(environment.current().lock)
        self._pythons: dict[tuple[tuple[str, str], ...], str] = {}
        for lock in (self.good, self.bad, self._current):
            lock.pop("clew", None)  # it is the same for all builds: this one

    @property
    def notes(self) -> list[str]:
        """What differs and can't be crossed here."""
        good, bad = self._rows
        found = []
        here = environment.current()
        minor = {row.python.rpartition(".")[0] for row in self._rows}
        if len(minor) > 1 or minor != {here.python.rpartition(".")[0]}:
            found.append(
                f"Python was {good.python} and {bad.python}; all builds are made with {here.python}, "
                "so its part in the loss isn't told"
            )
        if good.platform != bad.platform:
            found.append(f"the platform was {good.platform} and {bad.platform}; all builds are made on this machine")
        for name in sorted((good.settings.keys() | bad.settings.keys()) - {"cpus", "files", "origins", "unpublished"}):
            before, after = good.settings.get(name), bad.settings.get(name)
            if before != after:
                found.append(f"{name} was {before} and {after}; all builds take it from here")
        return found

    def changes(self) -> list[Change]:
        """The versions that differ: one change, which can be taken apart."""
        names = [name for name in sorted(self.good.keys() | self.bad.keys()) if self._differs(name)]
        parts = [
            Change(
                f"library {name}",
                "libraries",
                f"{name} {self.good.get(name, 'not installed')} → {self.bad.get(name, 'not installed')}",
                {"name": name, "good": self.good.get(name), "bad": self.bad.get(name)},
            )
            for name in names
        ]
        if len(parts) < 2:
            return parts
        says = ", ".join(part.says for part in parts[:5]) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "")
        return [Change("libraries", "libraries", f"libraries: {says}", {}, lambda: parts)]

    def _differs(self, name: str) -> bool:
        return self.good.get(name) != self.bad.get(name)

    def python(self, chosen: set[str]) -> str:
        """A Python with the good version's libraries, but for these from the bad one. Raises OutsideError."""
        wanted = {
            name: version
            for name in self.good.keys() | self.bad.keys()
            if (version := (self.bad if name in chosen else self.good).get(name)) is not None
        }
        different = {name: version for name, version in wanted.items() if self._current.get(name) != version}
        key = tuple(sorted(different.items()))
        if key not in self._pythons:
            self._pythons[key] = self._made(different)
        return self._pythons[key]

    def _made(self, different: Mapping[str, str]) -> str:
        if not different:
            return sys.executable
        folder = Path(tempfile.mkdtemp(prefix="environment-", dir=self._folder))
        return environments.make_over(different, folder, wheels=self._wheels)


def _environment(version: ModelVersion) -> sa.Row[Any]:
    run = version.workspace.catalog.get(builds.runs, version.run_id)
    return version.workspace.catalog.get(builds.environments, str(run.environment_id))


def reached_by(keys: Mapping[str, Mapping[str, Any]], handed_models: Collection[str]) -> set[str] | None:
    """The distributions that steps use, by the parts of their keys; None where one may use any.

    Steps that are handed a model are left aside: what it was made with is reached by the step that made it.
    """
    found: set[str] = set()
    for step, parts in keys.items():
        libraries = parts.get("libraries", {})
        if "all" not in libraries:
            found |= libraries.keys()
        elif parts.get("whole") or step not in handed_models:
            return None
    return found
