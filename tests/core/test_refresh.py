"""Taking in what providers list: only what changed is written, and the table does not grow for ever."""

from dataclasses import replace

from berth.base.clock import Instant
from berth.base.db import Database, Tx
from berth.core import catalog
from berth.core.catalog import Search
from berth.core.driver import Catalogue, Market, ProviderOffer
from tests import make
from tests.conftest import FakeClock
from tests.core.books import rows

TYPE = "1RTX4090.24V"


def machine(name: str, price: str = "0.4") -> ProviderOffer:
    offer = make.offer(
        TYPE, name=name, gpu_model="RTX 4090", gpu_vram_gb=24, location="US", free=1, price=price
    )
    return replace(offer, market=Market("Texas, US", reliability=0.9))


class Counting:
    """A transaction that counts the offers that are written."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.written = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._tx, name)

    def run_many(self, statement: str, many: list[dict[str, object]], /) -> None:
        self.written += len(many)
        self._tx.run_many(statement, many)


def writes(db: Database, *offers: ProviderOffer) -> int:
    def take(tx: Tx) -> int:
        counting = Counting(tx)
        catalog.refresh(counting, "vastai", Catalogue(offers, []), listed_at=tx.now, margin_percent=0)  # type: ignore[arg-type]
        return counting.written

    return db.write_now(take)


def test_a_listing_that_says_the_same_writes_no_offer(db: Database, clock: FakeClock) -> None:
    offers = [machine(str(number)) for number in range(50)]
    assert writes(db, *offers) == 50
    assert writes(db, *offers) == 50  # once more: what was said twice is believed
    for _ in range(3):
        clock.advance(seconds=60)
        assert writes(db, *offers) == 0
    dearer = replace(offers[7], price_micros_per_hour=1)
    assert writes(db, *offers[:7], dearer, *offers[8:]) == 1
    assert writes(db, *offers[1:7], dearer, *offers[8:]) == 1
    assert rows(db, "SELECT provider_offer_id FROM offers WHERE is_listed = 0") == [("0",)]


def test_what_is_seen_again_unchanged_still_says_when_it_was_seen(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    for _ in range(4):
        clock.advance(seconds=30)
        make.catalogue(db)
    (view,) = db.read_now(catalog.search, by, Search())
    assert view.observed_at == clock.now()


def test_a_claim_between_two_listings_that_say_the_same_is_taken_off(db: Database, clock: FakeClock) -> None:
    by = make.project(db, credit="1000").by
    for _ in range(3):
        make.catalogue(db)
    ordered = make.ordered(db, by)
    make.catalogue(db)
    assert rows(db, "SELECT free_units FROM offers") == [(7,)]
    clock.advance(seconds=10)
    make.provisioned(db, ordered)
    clock.advance(seconds=10)
    make.catalogue(db)
    assert rows(db, "SELECT free_units FROM offers") == [(8,)]


def test_what_a_marketplace_no_longer_names_is_forgotten_unless_it_was_ordered_or_failed(
    db: Database, clock: FakeClock
) -> None:
    by = make.project(db).by
    make.catalogue(db, machine("ordered", "0.1"), machine("failed"), machine("plain"), provider="vastai")
    make.catalogue(db, make.offer("ordinary", name="ordinary"))
    assert make.ordered(db, by, instance_type=TYPE, location="US").offer_id in [
        each for (each,) in rows(db, "SELECT id FROM offers WHERE provider_offer_id = 'ordered'")
    ]
    ((failed,),) = rows(db, "SELECT id FROM offers WHERE provider_offer_id = 'failed'")
    make.catalogue(db, provider="vastai", images=[])
    db.write_now(catalog.refresh, "vastai", Catalogue([], []), listed_at=clock.now(), margin_percent=0)
    db.write_now(catalog.refresh, make.PROVIDER, Catalogue([], []), listed_at=clock.now(), margin_percent=0)
    clock.advance(seconds=3500)
    db.write_now(catalog.note_offer_failure, failed, catalog.FailureKind.SSH_TIMEOUT, "late")
    known = (
        "SELECT provider_offer_id FROM offers WHERE provider_offer_id <> '1H100.80S.30V@FIN-01' ORDER BY 1"
    )
    db.write_now(catalog.refresh, "vastai", Catalogue([], []), listed_at=clock.now(), margin_percent=0)
    assert rows(db, known) == [("failed",), ("ordered",), ("ordinary",), ("plain",)]
    clock.advance(seconds=101)
    db.write_now(catalog.refresh, "vastai", Catalogue([], []), listed_at=clock.now(), margin_percent=0)
    assert rows(db, known) == [("failed",), ("ordered",), ("ordinary",)]


def test_a_type_that_several_sell_has_the_least_of_what_they_say_and_does_not_flap(db: Database) -> None:
    by = make.project(db).by

    def sell(provider: str, vcpu: int, ram: int, words: str) -> tuple[int, int, str]:
        offer = make.offer(TYPE)
        hardware = replace(offer.hardware, vcpu_count=vcpu, ram_gb=ram, description=words)
        make.catalogue(db, replace(offer, hardware=hardware), provider=provider)
        kind = db.read_now(catalog.get_type, by, TYPE)
        return kind.vcpu_count, kind.ram_gb, kind.description

    assert sell("beta", 16, 32, "of beta") == (16, 32, "of beta")
    assert sell("alpha", 8, 64, "of alpha") == (8, 32, "of alpha")
    assert sell("beta", 16, 32, "of beta") == (8, 32, "of alpha")
    assert sell("beta", 16, 128, "of beta") == (8, 64, "of alpha")
    db.write_now(catalog.refresh, "alpha", Catalogue([], []), listed_at=Instant(1), margin_percent=0)
    kind = db.read_now(catalog.get_type, by, TYPE)
    assert (kind.vcpu_count, kind.ram_gb, kind.providers) == (16, 128, frozenset({"beta"}))


def waits(db: Database, clock: FakeClock, times: int) -> list[int]:
    """Seconds until it is asked again, after each of so many failures."""
    return [
        (db.write_now(catalog.note_failure, "vastai", "down", period_s=60) - clock.now()) // 1_000_000
        for _ in range(times)
    ]


def test_one_that_never_said_what_it_sells_is_asked_again_within_seconds(
    db: Database, clock: FakeClock
) -> None:
    assert waits(db, clock, 9) == [3, 6, 12, 24, 48, 96, 192, 300, 300]


def test_a_provider_that_keeps_failing_is_asked_less_and_less_often(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, machine("1"), provider="vastai")
    assert waits(db, clock, 5) == [60, 120, 240, 300, 300]
    make.catalogue(db, machine("1"), provider="vastai")
    assert db.read_now(catalog.due_at, "vastai") == clock.now()
    due = db.write_now(catalog.note_failure, "vastai", "slow down", retry_s=90)
    assert due == clock.now() + 90_000_000
