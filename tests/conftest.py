"""What all tests share: the fixtures of real servers."""

import sys
from pathlib import Path

# `from tests.servers…` has to work however pytest was started.
sys.path.insert(0, str(Path(__file__).parent.parent))

pytest_plugins = ["tests.servers.plugin"]
