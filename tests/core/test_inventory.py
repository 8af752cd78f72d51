"""The inventory: what a search finds is what looking at every offer finds, and it says what the catalogue says."""

import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth.base.clock import MINUTE, SECOND, Instant
from berth.base.db import Database
from berth.base.money import Micros, from_usd
from berth.core import catalog
from berth.core.catalog import FailureKind
from berth.core.catalog.inventory import Inventory, Listed, Order, Shelf, Wanted, scan
from berth.core.driver import Market, ProviderOffer
from tests import make
from tests.conftest import FakeClock
from tests.core.books import rows

PLACES = ["California, US", "Texas, US", "Iceland", "ÎLE-DE-FRANCE, FR", ""]
GPUS = ["RTX 4090", "RTX 3090", "H100", "rtx 4090", ""]
SHARES = [0.0, 0.05, 0.5, 0.9, 0.95, 0.999, 1.0]
CUDAS = [None, 0.0, 11.8, 12.1, 12.4, 12.10]


def listed(number: int = 0, **members: object) -> Listed:
    plain: dict[str, object] = {
        "id": f"vastai-{number}",
        "offer_id": f"{number:026}",
        "provider": "vastai",
        "provider_offer_id": str(number),
        "instance_type": "1RTX4090.24V",
        "place": "US",
        "location": "California, US",
        "gpu_type": "RTX 4090",
        "gpu_count": 1,
        "vram_gb": 24,
        "vcpu_count": 8,
        "ram_gb": 32,
        "storage_gb": 100,
        "price": 400_000,
        "cost": 400_000,
        "free_units": 1,
        "is_listed": True,
        "is_available": True,
        "confidence": 0.9,
        "fetched_at": 0,
    }
    return Listed(**{**plain, **members})  # type: ignore[arg-type]


offers = st.lists(
    st.fixed_dictionaries(
        {
            "provider": st.sampled_from(["vastai", "tensordock", "sandbox"]),
            "gpu_type": st.sampled_from(GPUS),
            "location": st.sampled_from(PLACES),
            "vram_gb": st.sampled_from([0, 8, 24, 80]),
            "gpu_count": st.integers(0, 4),
            "price": st.sampled_from([0, 100_000, 250_000, 250_001, 4_000_000]),
            "reliability": st.sampled_from(SHARES),
            "confidence": st.sampled_from(SHARES),
            "cuda_version": st.sampled_from(CUDAS),
            "is_available": st.sampled_from([True, True, True, False]),
        }
    ),
    max_size=40,
)
absent = st.none()
wishes = st.builds(
    Wanted,
    provider=absent | st.sampled_from(["vastai", "sandbox", "nobody"]),
    gpu_type=absent | st.sampled_from([*GPUS, "RTX"]),
    location=absent | st.sampled_from(["", "us", "US", "île", "france", "Mars"]),
    min_vram_gb=absent | st.integers(0, 90),
    max_price=absent | st.sampled_from([0, 99_999, 250_000, 250_000.5, 5_000_000]),
    min_gpu_count=absent | st.integers(0, 5),
    gpu_count=absent | st.integers(0, 5),
    min_reliability=absent | st.sampled_from([*SHARES, 0.93]),
    min_confidence=absent | st.sampled_from([*SHARES, 0.93]),
    min_cuda=absent | st.sampled_from([0.0, 11.8, 12.0, 13.0]),
    ids=absent | st.frozensets(st.integers(0, 45).map(lambda number: f"vastai-{number}")),
    fits=absent | st.just(lambda offer: offer.vram_gb != 8),
    order=st.sampled_from(Order),
    limit=absent | st.integers(1, 10),
    offset=st.integers(0, 12),
    counts=st.booleans(),
)


@settings(max_examples=400)
@given(offers=offers, wishes=st.lists(wishes, min_size=1, max_size=5))
def test_a_search_finds_what_looking_at_every_offer_finds(
    offers: list[dict[str, object]], wishes: list[Wanted]
) -> None:
    every = [listed(number, **members) for number, members in enumerate(offers)]
    inventory = Inventory(every)
    for wanted in wishes:
        expected = scan(every, wanted)
        found = inventory.search(wanted)
        assert list(found.offers) == list(expected.offers)
        assert found.total == expected.total


def test_a_page_far_into_many_offers_is_the_one_a_scan_finds() -> None:
    every = [
        listed(number, price=number * 7919 % 100_003, vram_gb=(8, 24, 80)[number % 3])
        for number in range(9000)
    ]
    inventory = Inventory(every)
    for wanted in (
        Wanted(min_vram_gb=80, limit=50, offset=2000),
        Wanted(min_vram_gb=24, gpu_type="RTX 4090", order=Order.PRICE, limit=7, offset=5990),
        Wanted(limit=3, offset=8999),
        Wanted(limit=3, offset=9001),
        Wanted(fits=lambda offer: offer.price % 2 == 0, limit=5, offset=4000, counts=False),
    ):
        assert inventory.search(wanted) == scan(every, wanted)


def test_what_was_asked_whether_it_fits_is_not_asked_again() -> None:
    inventory = Inventory([listed(number) for number in range(100)])
    asked: list[str] = []

    def fits(offer: Listed) -> bool:
        asked.append(offer.id)
        return offer.price > 0

    wanted = Wanted(fits=fits)
    assert inventory.search(wanted) == inventory.search(wanted)
    assert len(asked) == 100


def test_what_cannot_be_had_is_found_by_its_id_and_never_listed() -> None:
    gone = listed(1, is_available=False)
    inventory = Inventory([gone, listed(2)])
    assert [offer.id for offer in inventory.search(Wanted()).offers] == ["vastai-2"]
    assert inventory.search(Wanted(ids=frozenset({"vastai-1"}))).total == 0
    assert inventory.find("vastai-1") == gone
    assert inventory.find("vastai-3") is None


def test_an_empty_inventory_is_searched_like_any_other() -> None:
    assert Inventory().search(Wanted(gpu_type="H100", max_price=Micros(1), location="us")).total == 0
    assert list(Inventory().search(Wanted()).offers) == []


def market(name: str = "101", **members: object) -> ProviderOffer:
    told: dict[str, object] = {
        "location": "California, US",
        "reliability": 0.99,
        "confidence": 0.996,
        "cuda_version": 12.4,
        "physical_host": "vastai-machine-7",
        "host": {"gpu_name": "RTX 4090", "num_gpus": 1},
    }
    offer = make.offer(
        "1RTX4090.24V", name=name, gpu_model="RTX 4090", gpu_vram_gb=24, location="US", free=1, price="0.4"
    )
    return replace(offer, market=Market(**{**told, **members}))  # type: ignore[arg-type]


def stocked(db: Database, shelf: Shelf | None = None) -> Inventory:
    shelf = shelf or Shelf()
    shelf.restock(db)
    return shelf.inventory


def test_the_shelf_shows_marketplaces_and_ordinary_providers_alike(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, market(), provider="vastai")
    make.catalogue(db)
    inventory = stocked(db)
    offer = inventory.find("vastai-101")
    assert offer is not None
    assert (offer.gpu_type, offer.vram_gb, offer.price) == ("RTX 4090", 24, from_usd("0.4"))
    assert (offer.location, offer.place, offer.reliability, offer.confidence) == (
        "California, US",
        "US",
        0.99,
        0.996,
    )
    assert (offer.cuda_version, offer.physical_host, offer.host["num_gpus"]) == (12.4, "vastai-machine-7", 1)
    assert offer.fetched_at == clock.now()
    (plain,) = inventory.search(Wanted(provider=make.PROVIDER)).offers
    assert (plain.reliability, plain.confidence, plain.location, plain.free_units) == (
        1.0,
        1.0,
        "Finland 1",
        8,
    )
    assert (plain.cuda_version, plain.is_market) == (None, False)
    assert [offer.provider for offer in inventory.search(Wanted()).offers] == [make.PROVIDER, "vastai"]


def test_what_was_claimed_or_is_no_longer_named_is_known_and_not_available(
    db: Database, clock: FakeClock
) -> None:
    by = make.project(db).by
    dearest = replace(market("3"), price_micros_per_hour=500_000)
    make.catalogue(db, market("1"), market("2"), dearest, provider="vastai")
    make.ordered(db, by, instance_type="1RTX4090.24V", location="US")
    shelf = Shelf()
    assert len(stocked(db, shelf).search(Wanted()).offers) == 2
    make.catalogue(db, dearest, provider="vastai")
    inventory = stocked(db, shelf)
    assert [offer.id for offer in inventory.search(Wanted()).offers] == ["vastai-3"]
    for name in ("vastai-1", "vastai-2"):
        offer = inventory.find(name)
        assert offer is not None
        assert not offer.is_available
    clock.advance(seconds=3700)
    make.catalogue(db, dearest, provider="vastai")
    assert stocked(db, shelf).find("vastai-2") is None


@pytest.mark.parametrize(("age_s", "confidence"), [(0, 0.8), (120, 0.8), (210, 0.6), (300, 0.4), (3000, 0.4)])
def test_what_a_provider_said_long_ago_is_trusted_less(
    db: Database, clock: FakeClock, age_s: int, confidence: float
) -> None:
    make.catalogue(db, market(confidence=0.8), provider="vastai")
    shelf = Shelf()
    stocked(db, shelf)
    clock.advance(seconds=age_s)
    offer = stocked(db, shelf).find("vastai-101")
    assert offer is not None
    assert offer.confidence == confidence
    assert offer.fetched_at == clock.now() - age_s * SECOND


def test_the_order_stays_right_while_what_one_provider_said_grows_old(db: Database, clock: FakeClock) -> None:
    make.catalogue(db, market("old", confidence=0.9), provider="vastai")
    shelf = Shelf()
    clock.advance(seconds=200)
    make.catalogue(db, market("new", confidence=0.6), provider="tensordock")

    def order() -> list[str]:
        return [offer.id for offer in stocked(db, shelf).search(Wanted()).offers]

    assert order() == ["vastai-old", "tensordock-new"]
    clock.advance(seconds=90)
    assert order() == ["tensordock-new", "vastai-old"]


def test_nothing_new_leaves_the_very_same_inventory_on_the_shelf(db: Database, clock: FakeClock) -> None:
    make.catalogue(db)
    shelf = Shelf()
    first = stocked(db, shelf)
    clock.advance(seconds=30)
    assert stocked(db, shelf) is first
    make.ordered(db, make.project(db).by)
    assert stocked(db, shelf) is not first


def test_an_offer_comes_back_when_its_rest_is_over_though_nothing_was_written(
    db: Database, clock: FakeClock
) -> None:
    make.catalogue(db)
    make.instance(db, "failed_no_capacity", make.project(db).by)
    shelf = Shelf()
    assert stocked(db, shelf).search(Wanted()).total == 0
    clock.advance(seconds=61)
    assert stocked(db, shelf).search(Wanted()).total == 1


def test_a_price_that_changes_is_on_the_shelf_and_numbers_that_are_none_are_harmless(db: Database) -> None:
    shelf = Shelf()
    make.catalogue(db, market(), provider="vastai")
    stocked(db, shelf)
    odd = market(confidence=float("nan"), reliability=7.0, cuda_version=float("nan"))
    make.catalogue(db, replace(odd, price_micros_per_hour=1), provider="vastai")
    offer = stocked(db, shelf).find("vastai-101")
    assert offer is not None
    assert (offer.price, offer.confidence, offer.reliability, offer.cuda_version) == (1, 0.0, 1.0, None)


def test_readers_see_one_whole_inventory_while_it_is_replaced(db: Database) -> None:
    """Every listing has one price for all: a reader that saw two would have seen half of a refresh."""
    shelf = Shelf()
    names = [str(number) for number in range(200)]

    def sell(price: str) -> None:
        offers = [replace(market(name), price_micros_per_hour=from_usd(price)) for name in names]
        make.catalogue(db, *offers, provider="vastai")
        shelf.restock(db)

    sell("1")
    torn: list[set[int]] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            found = shelf.inventory.search(Wanted(min_vram_gb=24))
            prices = {int(offer.price) for offer in found.offers}
            if len(prices) != 1 or found.total != 200:
                torn.append(prices)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(2, 8):
        sell(str(number))
    is_over.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert {offer.price for offer in shelf.inventory.search(Wanted()).offers} == {from_usd("7")}


def test_failures_lower_confidence_until_the_offer_is_set_aside_and_then_it_comes_back(
    db: Database, clock: FakeClock
) -> None:
    make.catalogue(db, market(confidence=1.0), provider="vastai")
    ((offer_id,),) = rows(db, "SELECT id FROM offers")
    shelf = Shelf()

    def fail() -> Listed:
        db.write_now(catalog.note_offer_failure, offer_id, FailureKind.SSH_TIMEOUT, "no answer")
        found = stocked(db, shelf).find("vastai-101")
        assert found is not None
        return found

    assert fail().confidence == 0.7
    clock.advance(seconds=60)
    assert fail().confidence == 0.49
    clock.advance(seconds=60)
    assert (fail().confidence, stocked(db, shelf).search(Wanted()).total) == (0.0, 0)
    clock.set(Instant(clock.now() + 30 * MINUTE - SECOND))
    assert stocked(db, shelf).search(Wanted()).total == 0
    clock.advance(seconds=1)
    make.catalogue(db, market(confidence=1.0), provider="vastai")
    found = stocked(db, shelf).find("vastai-101")
    assert found is not None
    assert (found.confidence, found.is_available) == (1.0, True)
