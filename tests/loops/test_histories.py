"""Thousands of short histories: whatever happens, money is exact, and nothing is doubled, lost or leaked.

A history is a few dozen acts of customers, operators, providers, processes that die, and time, drawn from a seed;
then everything is well again, the loops get their time, and all of it is judged. `--histories 100000` lives more of
them on SQLite, `--history SEED` one alone; the story of one that fails is in the message.
"""

import os
from random import Random

import pytest
from structlog.typing import EventDict

from berth.loops.world import Patience
from tests.conftest import FakeClock
from tests.world import straight
from tests.world.storm import Storm

ACTS = {"sqlite": 20, "postgresql": 10}
"""In one history, beside those that it begins with. PostgreSQL takes ten times as long for each."""
ON_POSTGRES = 100
AT_ONCE = {"sqlite": 25, "postgresql": 4}
"""In one test, which has a minute for them."""
JUDGED = 0.25
"""How often all is judged after an act. What holds at every commit is looked at after every commit."""
PATIENCE = Patience(orphan_grace_s=60)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each engine with the seeds of each test."""
    alone: int | None = metafunc.config.getoption("--history")
    count: int = metafunc.config.getoption("--histories")
    cases = []
    for engine, wanted in (("sqlite", count), ("postgresql", min(count, ON_POSTGRES))):
        step = AT_ONCE[engine]
        chunks = [range(first, min(first + step, wanted)) for first in range(0, wanted, step)]
        if alone is not None:
            chunks = [range(alone, alone + 1)]
        cases += [pytest.param(engine, seeds, id=f"{engine}-{seeds.start}") for seeds in chunks]
    metafunc.parametrize(("engine", "seeds"), cases, indirect=["engine"])


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """As `pytest_generate_tests` says: not the same seeds on both."""
    name: str = request.param
    return name


async def test_whatever_happened_every_second_is_paid_once_and_nothing_is_left(
    database_url: str,
    engine: str,
    clock: FakeClock,
    seeds: range,
    log: list[EventDict],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun_at = clock.now()
    db = straight.connect(database_url, clock)
    tables = straight.tables(db, database_url)
    failures = []
    for seed in seeds:
        straight.empty(db, tables)
        clock.set(begun_at)
        log.clear()
        random = Random(seed)
        # Ids are drawn from the seed too: what sorts before what is part of the story.
        monkeypatch.setattr(os, "urandom", Random(seed).randbytes)
        storm = Storm(db, clock, random, patience=PATIENCE, is_short=True)
        try:
            await _live(storm, random, acts=ACTS[engine])
        except Exception as error:  # noqa: BLE001 - the others are lived all the same
            failures.append("\n".join([f"--history {seed}", *storm.story, repr(error), str(error)]))
    db.close()
    assert not failures, f"{len(failures)} of {len(seeds)} went wrong\n" + "\n\n".join(failures[:3])


async def _live(storm: Storm, random: Random, *, acts: int) -> None:
    await storm.begin()
    for _ in range(acts):
        await storm.act()
        if random.random() < JUDGED:
            storm.judge(at_rest=False)
    await storm.end()
    storm.judge(at_rest=True)
