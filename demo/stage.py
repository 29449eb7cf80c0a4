"""What the demo plays on: the command line, a serving process, and plain words."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

console = Console(highlight=False)


_IDLE_SECONDS = 3.0


class Clew:
    """The command line, run as a person would; every call is shown."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.environment = os.environ | {"CLEW_WORKSPACE": str(workspace)}

    def __call__(self, *words: str, refused: bool = False) -> Any:
        """Run `clew WORDS --json` and give what it prints; `refused` expects exit code 6 and gives the refusal."""
        show(f"$ clew {' '.join(words)}")
        done = self._run([*words, "--json"])
        if done.returncode != (6 if refused else 0):
            raise SystemExit(f"clew {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stderr if refused else json.loads(done.stdout)

    def quietly(self, *words: str) -> Any:
        """As when called, and not shown."""
        done = self._run([*words, "--json"])
        if done.returncode:
            raise SystemExit(f"clew {' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
        return json.loads(done.stdout)

    def words(self, *words: str) -> str:
        """Run a command and give what a person would read."""
        show(f"$ clew {' '.join(words)}")
        done = self._run(list(words))
        if done.returncode:
            raise SystemExit(f"clew {' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def _run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "clew.cli", *words]
        # The workspace has to be made before it can be named.
        environment = dict(os.environ) if words[0] == "init" else self.environment
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


class Server:
    """A serving process, spoken to over HTTP on one connection."""

    def __init__(self, clew: Clew, endpoint: str) -> None:
        self.endpoint = endpoint
        show(f"$ clew serve {endpoint} --port 0 --clock data")
        self.log = (clew.workspace / "serve.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clew.cli", "serve", endpoint, "--port", "0", "--clock", "data", "--writer", "demo"],
            env=clew.environment,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://([\d.]+):(\d+)", line)
        if found is None:
            raise SystemExit(f"the server did not start: {line} (see {self.log.name})")
        say(line.strip())
        self.connection = http.client.HTTPConnection(found[1], int(found[2]), timeout=60)
        self._used = time.monotonic()

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[dict[str, str], Any]:
        """Send JSON, and give the answer's headers and JSON."""
        if time.monotonic() - self._used > _IDLE_SECONDS:
            self.connection.close()  # the server may have closed it meanwhile; the next request opens it again
        self._used = time.monotonic()
        self.connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **(headers or {})})
        answer = self.connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"POST {path} was answered {answer.status}: {content}")
        return {name.lower(): value for name, value in answer.getheaders()}, content

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()


def _short(text: str) -> str:
    """Paths as one would type them here."""
    return text.replace(f"{Path.cwd()}/", "")


def title(text: str) -> None:
    """The beginning of a part."""
    console.print(f"\n[bold]{text}[/bold]", soft_wrap=True)


def say(text: str) -> None:
    """A line for people."""
    console.print(f"  {_short(text)}", markup=False, soft_wrap=True)


def show(text: str) -> None:
    """A command, as it could be typed."""
    console.print(f"  {_short(text)}", style="cyan", markup=False, soft_wrap=True)


@contextmanager
def bar(text: str, total: int) -> Iterator[Any]:
    """A progress bar; without a terminal, one line when it is done."""
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(text, total=total)
        yield lambda count=1: progress.update(task, advance=count)
    say(f"{text}: {time.monotonic() - started:.0f} s")
