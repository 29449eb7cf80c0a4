from datetime import UTC, datetime, timedelta

import pytest

from clew.errors import UsageError
from clew.serving.clock import DataClock, WallClock


def test_the_machines_clock_tells_the_time_with_its_zone() -> None:
    before = datetime.now(UTC)
    assert before <= WallClock().now() <= datetime.now(UTC)
    assert not WallClock.replay


def test_the_datas_clock_stands_still_and_never_goes_back() -> None:
    clock = DataClock()
    assert clock.replay
    assert not clock.is_set
    with pytest.raises(UsageError, match="has not been set"):
        clock.now()
    first = datetime(1996, 1, 1, tzinfo=UTC)
    clock.move(first)
    clock.move(first)
    assert clock.is_set
    assert clock.now() == first
    with pytest.raises(UsageError, match="field 'now': time doesn't go back") as refused:
        clock.move(first - timedelta(microseconds=1))
    assert refused.value.mend
    assert clock.now() == first
