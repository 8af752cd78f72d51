"""What sessions cost in a window: the same as the books say, however the windows are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.clock import SECOND, Instant
from berth.base.db import Database
from berth.core import billing, reports
from berth.core.billing import rates
from berth.core.errors import Forbidden, Invalid, NotFound
from berth.core.events import Actor
from berth.core.reports import Costs
from tests import make
from tests.conftest import FakeClock
from tests.core.books import clear


def costs(db: Database, by: Actor, start: int, end: int, *, consumer: str | None = None) -> Costs:
    return db.read_now(reports.costs, by, consumer=consumer, start=Instant(start), end=Instant(end))


def taken(db: Database, by: Actor, consumer: str = "my-application", *, kind: str = make.H100) -> str:
    """The id of a session that was ordered and never ran."""
    return make.session(db, by, consumer_id=consumer, offer_id=f"sandbox-{kind}@FIN-01").session.id


def run(db: Database, by: Actor, session_id: str, price: int) -> None:
    db.write_now(billing.start, by.project, session_id, price)


def pause(db: Database, clock: FakeClock, by: Actor, session_id: str) -> None:
    db.write_now(billing.pause, by.project, session_id, clock.now())


@given(
    stretches=st.lists(
        st.tuples(st.integers(1, 5000), st.sampled_from([1_710_000, 450_001, 7])), min_size=1, max_size=4
    ),
    cuts=st.lists(st.integers(0, 30_000_000_000), min_size=1, max_size=5),
    sweeps=st.booleans(),
    is_open=st.booleans(),
)
def test_windows_that_adjoin_add_up_to_the_bill(
    db: Database,
    clock: FakeClock,
    stretches: list[tuple[int, int]],
    cuts: list[int],
    sweeps: bool,
    is_open: bool,
) -> None:
    clear(db)
    db.write_now(lambda tx: tx.run("DELETE FROM sessions"))
    make.catalogue(db)
    by = make.project(db).by
    session_id = taken(db, by)
    began = clock.now()
    for number, (length, price) in enumerate(stretches):
        run(db, by, session_id, price)
        clock.advance(seconds=length, micros=137)
        if sweeps:
            db.write_now(billing.sweep)
        if not is_open or number < len(stretches) - 1:
            pause(db, clock, by, session_id)
            clock.advance(seconds=77)
    ends = began + 30_000 * SECOND
    whole = costs(db, by, began, ends)
    assert whole.used_s == sum(length for length, _ in stretches)
    assert whole.total == db.read_now(reports.cost_of, by, session_id)
    assert whole.total == db.read_now(billing.bill, session_id).total
    edges = sorted({began, *(began + cut for cut in cuts), ends})
    parts = [costs(db, by, start, end) for start, end in pairwise(edges)]
    assert sum(part.used_s for part in parts) == whole.used_s
    assert sum(part.total for part in parts) == whole.total
    assert all(part.total >= 0 and part.used_s >= 0 and part.sessions in {0, 1} for part in parts)


def test_each_second_costs_in_the_window_that_it_lies_in(db: Database, clock: FakeClock) -> None:
    make.catalogue(db)
    by = make.project(db).by
    session_id = taken(db, by)
    began = clock.now()
    run(db, by, session_id, 1_710_000)
    clock.advance(seconds=1000)
    pause(db, clock, by, session_id)
    before = costs(db, by, began - SECOND, began + 400 * SECOND)
    later = costs(db, by, began + 400 * SECOND, began + 10_000 * SECOND)
    assert (before.used_s, before.total) == (400, rates.total(1_710_000, 400))
    assert (later.used_s, later.total) == (600, rates.total(1_710_000, 1000) - rates.total(1_710_000, 400))
    assert costs(db, by, began + 1000 * SECOND, began + 2000 * SECOND).rows == []


def test_a_window_that_lies_ahead_holds_nothing_yet(db: Database, clock: FakeClock) -> None:
    make.catalogue(db)
    by = make.project(db).by
    run(db, by, taken(db, by), 1_710_000)
    clock.advance(seconds=1000)
    assert costs(db, by, clock.now() + SECOND, clock.now() + 9 * SECOND).rows == []


def test_rows_are_by_provider_and_gpu_and_a_consumer_has_its_own(db: Database, clock: FakeClock) -> None:
    make.catalogue(
        db,
        make.offer(),
        make.offer("1A100.22V", gpu_model="A100", price="1"),
        make.offer("CPU.4V", gpu_model=None, gpu_count=0, gpu_vram_gb=0, price="0.1"),
    )
    by = make.project(db).by
    prices = {make.H100: 1_710_000, "1A100.22V": 1_000_000, "CPU.4V": 100_000}
    for number, (kind, price) in enumerate(prices.items()):
        run(db, by, taken(db, by, f"consumer-{number}", kind=kind), price)
    clock.advance(seconds=3600)
    found = costs(db, by, 0, clock.now())
    assert found.by_provider == {"sandbox": 2_810_000}
    assert found.by_gpu_type == {"H100": 1_710_000, "A100": 1_000_000, "": 100_000}
    assert (found.sessions, found.used_s, found.total) == (3, 3 * 3600, 2_810_000)
    one = costs(db, by, 0, clock.now(), consumer="consumer-1")
    assert (one.sessions, one.total, one.by_gpu_type) == (1, 1_000_000, {"A100": 1_000_000})
    assert costs(db, by, 0, clock.now(), consumer="nobody").rows == []


def test_only_its_own_project_sees_what_a_session_cost(db: Database, clock: FakeClock) -> None:
    make.catalogue(db)
    by, other = make.project(db).by, make.project(db).by
    session_id = taken(db, by)
    run(db, by, session_id, 1_710_000)
    clock.advance(seconds=60)
    assert costs(db, other, 0, clock.now()).rows == []
    with pytest.raises(NotFound):
        db.read_now(reports.cost_of, other, session_id)


def test_who_may_ask_what_and_for_which_window(db: Database) -> None:
    make.catalogue(db)
    by = make.project(db).by
    session_id = taken(db, by)
    spectator = make.allowed(by, "deployments:write")
    with pytest.raises(Forbidden):
        db.read_now(reports.cost_of, spectator, session_id)
    with pytest.raises(Forbidden):
        costs(db, spectator, 0, 1)
    assert db.read_now(reports.cost_of, make.allowed(by, "billing:read"), session_id) == 0
    with pytest.raises(Invalid):
        costs(db, by, 5, 5)
