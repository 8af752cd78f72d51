"""Two transactions that want a volume and what is locked before it: whichever is first, neither has to begin anew."""

import threading
from collections.abc import Callable
from functools import partial

import pytest

from berth.base.db import Database, Tx
from berth.core import catalog, instances, volumes
from berth.core.driver import Abilities
from berth.core.errors import Conflict
from berth.core.events import Actor
from berth.core.volumes import NewVolume, service
from tests import make, queueing
from tests.core.together import failed, together

_LIMIT_S = 60
_OVERLAP_S = 0.25


def grow(tx: Tx, by: Actor, volume_id: str) -> object:
    return volumes.resize(tx, by, volume_id, 500)


def copy(tx: Tx, by: Actor, volume_id: str) -> object:
    return instances.clone_volume(tx, by, volume_id, name="copy", type="NVMe")


@pytest.mark.parametrize("verb", [grow, copy])
def test_a_volume_is_grown_or_copied_beside_an_order_that_takes_it(
    db: Database, verb: Callable[[Tx, Actor, str], object]
) -> None:
    by = make.project(db).by
    make.catalogue(db)
    db.write_now(catalog.introduce, make.PROVIDER, Abilities(volumes=True, clones_volumes=True))
    volume = make.volume(db, "detached", by)
    runs: list[str] = []
    has_project = threading.Event()

    def order(tx: Tx) -> None:
        """As `volumes.look_up` does it."""
        runs.append("order")
        service.reserve(tx, by, [NewVolume("new", 10, "NVMe")])
        has_project.set()
        threading.Event().wait(_OVERLAP_S)
        service.lock(tx, by, volume.id)

    def change(tx: Tx) -> None:
        runs.append("change")
        verb(tx, by, volume.id)

    def follow() -> None:
        has_project.wait(_LIMIT_S)
        db.write_now(change)

    failed(together([partial(db.write_now, order), follow]), Conflict)
    assert sorted(runs) == ["change", "order"]


@pytest.mark.parametrize("is_placed_again", [False, True])
def test_an_order_takes_the_line_of_its_type_before_its_volumes(db: Database, is_placed_again: bool) -> None:
    by = make.project(db).by
    make.catalogue(db)
    volume = make.volume(db, "detached", by)
    key = make.ssh_key(db, by)
    made = make.ordered(db, by, existing_volumes=[volume.id]) if is_placed_again else None
    queueing.waiting(db, make.project(db).by, is_auto=True)
    runs: list[str] = []
    has_line = threading.Event()

    def other(tx: Tx) -> None:
        """As an order with new volumes does it."""
        runs.append("other")
        catalog.lock_line(tx, make.H100)
        has_line.set()
        threading.Event().wait(_OVERLAP_S)
        service.lock(tx, by, volume.id)

    def order(tx: Tx) -> None:
        runs.append("order")
        if made is None:
            instances.order(tx, by, make.spec([key.id], existing_volumes=[volume.id]), make.RULES)
        else:
            instances.fail_over(tx, made, is_sold_out=False, reason="refused")

    def follow() -> None:
        has_line.wait(_LIMIT_S)
        db.write_now(order)

    failed(together([partial(db.write_now, other), follow]))
    assert sorted(runs) == ["order", "other"]
