"""The clock of the stages: counts what passes, in any number of threads, in the order of the stages."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from data.timing import StageClock


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock on the wall shows when it is looked at, one after the other."""
    shown: list[float] = []
    monkeypatch.setattr(time, "perf_counter", lambda: shown.pop(0))
    return shown


def test_seconds_and_images_add_up_and_give_rates(ticking: list[float]) -> None:
    clock = StageClock()
    ticking += [0, 0.5, 10, 11.5, 20, 20.25]
    with clock.time("read", examples=2):
        pass
    with clock.time("decode"):
        pass
    with clock.time("read", examples=3):
        pass

    assert dict(clock.seconds) == {"read": 0.75, "decode": 1.5}
    assert dict(clock.examples) == {"read": 5, "decode": 1}
    assert clock.rates() == {"read": pytest.approx(5 / 0.75), "decode": pytest.approx(1 / 1.5)}


def test_rates_come_in_the_order_in_which_stages_were_first_seen() -> None:
    clock = StageClock()
    for stage in ("read", "decode", "augment", "decode", "read"):
        with clock.time(stage):
            time.sleep(0.001)
    assert clock.seconds["absent"] == 0 and clock.examples["absent"] == 0
    assert list(clock.rates()) == ["read", "decode", "augment"]


def test_a_new_clock_has_no_rates() -> None:
    assert StageClock().rates() == {}


def test_what_fails_is_not_counted_and_its_error_passes() -> None:
    clock = StageClock()
    with pytest.raises(ValueError, match="damaged"), clock.time("decode"):
        raise ValueError("damaged")
    assert clock.rates() == {} and not clock.examples


def test_threads_lose_no_images_and_their_seconds_are_summed() -> None:
    clock = StageClock()

    def work(_: int) -> None:
        with clock.time("sleep", examples=2):
            time.sleep(0.02)
        for _ in range(2000):
            with clock.time("count"):
                pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert clock.examples == {"sleep": 8, "count": 8000}
    assert clock.seconds["sleep"] >= 0.08
    assert clock.rates()["sleep"] <= 100
