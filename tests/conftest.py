"""What all tests share: the fixtures of real servers."""

import sys
from pathlib import Path

from hypothesis import settings

# A shared machine may stop for longer than any example takes; what must be quick is measured, not tested.
settings.register_profile("clew", deadline=None)
settings.load_profile("clew")

# `from tests.servers…` has to work however pytest was started.
sys.path.insert(0, str(Path(__file__).parent.parent))

pytest_plugins = ["tests.servers.plugin"]
