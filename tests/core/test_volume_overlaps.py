"""Two transactions that want a volume and its project's quota: whichever is first, neither has to begin anew."""

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
from tests import make
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
