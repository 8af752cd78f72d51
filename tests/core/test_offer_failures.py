"""Offers that fail: counted, trusted less, set aside for a while, and told of."""

from dataclasses import replace

import pytest

from berth.base.clock import HOUR, MINUTE, SECOND, Instant
from berth.base.db import Database
from berth.core import catalog, instances
from berth.core.catalog import FailureKind, GpuHealth, OfferHealth
from berth.core.driver import Market, ProviderOffer
from berth.core.errors import Forbidden, NoCapacity
from berth.core.events import Actor
from tests import make
from tests.conftest import FakeClock
from tests.core.books import rows

TYPE = "1RTX4090.24V"


def machine(name: str) -> ProviderOffer:
    offer = make.offer(TYPE, name=name, gpu_model="RTX 4090", gpu_vram_gb=24, location="US", free=1)
    return replace(offer, market=Market("Texas, US"))


def ids_of(db: Database) -> dict[str, str]:
    return dict(rows(db, "SELECT provider_offer_id, id FROM offers"))


def note(db: Database, offer_id: str, kind: FailureKind = FailureKind.SSH_TIMEOUT) -> None:
    db.write_now(catalog.note_offer_failure, offer_id, kind, "it failed")


def health(db: Database, by: Actor, **wanted: str) -> tuple[list[OfferHealth], list[GpuHealth]]:
    offers, gpus = db.read_now(catalog.offer_health, by, **wanted)
    return list(offers), list(gpus)


@pytest.fixture
def by(db: Database) -> Actor:
    return make.project(db, credit="1000").by


def test_a_failed_offer_is_told_of_with_its_last_failure(db: Database, clock: FakeClock, by: Actor) -> None:
    make.catalogue(db, machine("7"), provider="vastai")
    note(db, ids_of(db)["7"], FailureKind.STALE_INVENTORY)
    clock.advance(seconds=5)
    note(db, ids_of(db)["7"], FailureKind.AUTH_FAILED)
    ((offer,), (gpu,)) = health(db, by)
    assert (offer.offer_id, offer.provider, offer.gpu_type) == ("vastai-7", "vastai", "RTX 4090")
    assert (offer.recent_failures, offer.is_suppressed, offer.suppressed_until) == (2, False, None)
    assert offer.confidence_multiplier == pytest.approx(0.49)
    assert (offer.last_failure, offer.last_failure_kind, offer.last_failure_reason) == (
        clock.now(),
        FailureKind.AUTH_FAILED,
        "it failed",
    )
    assert gpu == GpuHealth("vastai:RTX 4090", 1, is_degraded=False, degradation=1.0)


def test_three_failures_in_half_an_hour_set_a_machine_aside_for_everybody(
    db: Database, clock: FakeClock, by: Actor
) -> None:
    make.catalogue(db, machine("7"), provider="vastai")
    offer_id = ids_of(db)["7"]
    for _ in range(3):
        clock.advance(seconds=60)
        note(db, offer_id)
    ((offer,), _) = health(db, by)
    assert (offer.is_suppressed, offer.confidence_multiplier) == (True, 0)
    assert (offer.suppressed_at, offer.suppressed_until) == (clock.now(), clock.now() + 30 * MINUTE)
    with pytest.raises(NoCapacity):
        make.ordered(db, by, instance_type=TYPE, location="US")
    clock.advance(seconds=1800)
    assert health(db, by)[0] == []
    make.ordered(db, by, instance_type=TYPE, location="US")


def test_three_failures_in_more_than_half_an_hour_set_nothing_aside(
    db: Database, clock: FakeClock, by: Actor
) -> None:
    make.catalogue(db, machine("7"), provider="vastai")
    for _ in range(4):
        note(db, ids_of(db)["7"])
        clock.advance(seconds=16 * 60)
    ((offer,), _) = health(db, by)
    assert (offer.recent_failures, offer.is_suppressed) == (1, False)


def test_a_kind_of_which_there_are_several_is_still_sold_while_shoppers_are_not_shown_it(
    db: Database, by: Actor
) -> None:
    make.catalogue(db)
    ((offer_id,),) = rows(db, "SELECT id FROM offers")
    for _ in range(3):
        note(db, offer_id)
    ((offer,), _) = health(db, by)
    assert offer.is_suppressed
    make.ordered(db, by)


def test_three_offers_that_fail_take_trust_from_their_gpu_type_at_that_provider(
    db: Database, clock: FakeClock, by: Actor
) -> None:
    make.catalogue(db, *(machine(name) for name in "123"), provider="vastai")
    make.catalogue(db, machine("1"), provider="tensordock")
    offers: dict[str, str] = dict(
        rows(db, "SELECT provider_offer_id, id FROM offers WHERE provider = 'vastai'")
    )
    for name in "12":
        note(db, offers[name])
        note(db, offers[name])
    assert not health(db, by)[1][0].is_degraded
    note(db, offers["3"])
    shown, (gpu,) = health(db, by)
    assert gpu == GpuHealth("vastai:RTX 4090", 3, is_degraded=True, degradation=0.3)
    assert shown[2].confidence_multiplier == pytest.approx(0.7 * 0.3)
    assert shown[0].confidence_multiplier == pytest.approx(0.49 * 0.3)
    assert health(db, by, provider="tensordock") == ([], [])
    assert health(db, by, gpu_type="H100") == ([], [])
    clock.set(Instant(clock.now() + HOUR))
    assert health(db, by) == ([], [])


def test_failures_are_forgotten_after_a_day_and_what_is_no_offer_is_not_noted(
    db: Database, clock: FakeClock
) -> None:
    make.catalogue(db, machine("7"), provider="vastai")
    note(db, ids_of(db)["7"])
    note(db, "no offer")
    assert len(rows(db, "SELECT 1 FROM offer_failures")) == 1
    clock.set(Instant(clock.now() + 24 * HOUR + SECOND))
    note(db, ids_of(db)["7"])
    assert len(rows(db, "SELECT 1 FROM offer_failures")) == 1


def test_offer_health_needs_the_scope_of_the_catalogue(db: Database, by: Actor) -> None:
    with pytest.raises(Forbidden):
        health(db, make.allowed(by, "billing:read"))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("no_capacity: Others have it.", "stale_inventory"),
        ("boot_failed: It burns.", "instance_stopped"),
        ("provisioning_timeout: Too late.", "ssh_timeout"),
        ("instance_lost: Gone.", "instance_vanished"),
        ("provider_unreachable: No route.", None),
        ("refused: The key is wrong.", None),
    ],
)
def test_an_order_that_moves_on_leaves_the_blame_where_it_belongs(
    db: Database, by: Actor, reason: str, kind: str | None
) -> None:
    make.catalogue(db)
    ordered = make.ordered(db, by)
    (leased,) = db.write_now(instances.lease_due, limit=1, seconds=60, providers={make.PROVIDER})
    is_sold_out = reason.startswith("no_capacity")
    db.write_now(instances.fail_over, leased, is_sold_out=is_sold_out, reason=reason)
    assert rows(db, "SELECT offer_id, kind FROM offer_failures") == (
        [] if kind is None else [(ordered.offer_id, kind)]
    )
