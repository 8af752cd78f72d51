"""Builders beside `make`: offers of marketplaces, and sessions that run."""

from functools import cache
from typing import Any

from berth.base import sshkeys
from berth.base.db import Database
from berth.base.sshkeys import KeyPair
from berth.core import catalog, instances
from berth.core.driver import Abilities
from berth.core.events import Actor
from berth.core.instances import Instance
from berth.core.sessions import Opened
from tests import make

OFFER = "vastai-12345"
VASTAI = Abilities(containers=True, templates=True)


@cache
def keys() -> KeyPair:
    """Made once: a pair takes a second, and no test looks at two."""
    return sshkeys.make_rsa()


def stock(db: Database) -> None:
    """Two offers of vastai, the first of them that of the API's own examples, and one of tensordock."""
    cards: dict[str, Any] = {"gpu_model": "RTX 4090", "gpu_vram_gb": 24, "free": 1}
    db.write_now(catalog.introduce, "vastai", VASTAI)
    make.catalogue(
        db,
        make.offer("1RTX4090.24V", name="12345", price="0.45", cost="0.40", **cards),
        make.offer("1RTX4090.24V", name="12346", price="0.5", cost="0.45", **cards),
        provider="vastai",
    )
    make.catalogue(
        db,
        make.offer(
            "1A100.80V", location="FIN-02", name="a1", gpu_model="A100", price="1.10", cost="1", free=5
        ),
        provider="tensordock",
    )


def running(db: Database, by: Actor, consumer_id: str = "my-application", **members: Any) -> Opened:
    """A session that somebody can log in to."""
    opened = make.session(db, by, consumer_id=consumer_id, offer_id=OFFER, **members)
    runs(db, make.provisioned(db, opened.session.instance))
    return opened


def runs(db: Database, made: Instance) -> None:
    make.seen(db, made, instances.reachable, make.sighting(made))
