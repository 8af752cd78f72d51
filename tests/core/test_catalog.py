"""The catalogue: what is listed, found, probed and ordered are one and the same."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base import ids
from berth.base.clock import SECOND, Instant
from berth.base.db import Database
from berth.base.money import from_usd
from berth.core import catalog, instances
from berth.core.catalog import OfferView, Search, Sort, fits
from berth.core.errors import Forbidden, Invalid, NoCapacity, NotFound
from berth.core.events import Actor
from tests import make
from tests.conftest import FakeClock
from tests.core.books import rows

GPUS = ["H100", "A100", None]
KNOWN_ID = "14095RG4R02482B0WSY6YSPW0V"


def found(db: Database, by: Actor, **wanted: object) -> list[str]:
    return [view.type.name for view in search(db, by, **wanted)]


def search(db: Database, by: Actor, **wanted: object) -> list[OfferView]:
    return list(db.read_now(catalog.search, by, Search(**wanted)))  # type: ignore[arg-type]


def free_units(db: Database) -> dict[str, int]:
    return dict(rows(db, "SELECT provider_offer_id, free_units FROM offers"))


def refuses(db: Database, by: Actor, **members: object) -> str | None:
    """How an order is refused; None when it is accepted, which is then undone."""

    class Undo(Exception):
        pass

    def try_it(tx: object) -> None:
        spec = make.spec([key.id], **members)  # type: ignore[arg-type]
        instances.order(tx, by, spec, make.RULES)  # type: ignore[arg-type]
        raise Undo

    key = make.ssh_key(db, by)
    try:
        db.write_now(try_it)
    except (Invalid, NoCapacity) as refusal:
        return refusal.code
    except Undo:
        return None
    raise AssertionError


def test_types_are_found_by_what_they_are(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(
        db,
        make.offer("1H100", price="2", gpu_model="H100", gpu_vram_gb=80),
        make.offer("8H100", price="16", gpu_model="H100", gpu_count=8, gpu_vram_gb=80, location="FIN-02"),
        make.offer("1A100", price="1", gpu_model="A100", gpu_vram_gb=40, spot_price="0.5"),
        make.offer("CPU", price="0.1", gpu_model=None, gpu_count=0, gpu_vram_gb=0),
        make.offer("1B200", price="4", gpu_model="B200", gpu_vram_gb=180, free=0),
    )
    assert found(db, by) == ["CPU", "1A100", "1H100", "8H100"]
    assert found(db, by, available_only=False) == ["CPU", "1A100", "1H100", "1B200", "8H100"]
    assert found(db, by, gpu_model="h100") == ["1H100", "8H100"]
    assert found(db, by, gpu_model="H10") == []
    assert found(db, by, max_price=from_usd("2")) == ["CPU", "1A100", "1H100"]
    assert found(db, by, min_vram_gb=80) == ["1H100", "8H100"]
    assert found(db, by, min_vram_gb=81) == ["8H100"]
    assert found(db, by, min_gpu_count=1, gpu_count=1) == ["1A100", "1H100"]
    assert found(db, by, location="FIN-02") == ["8H100"]
    assert found(db, by, location="NOWHERE") == []
    assert found(db, by, has_spot=True) == ["1A100"]
    assert found(db, by, has_spot=False) == ["CPU", "1H100", "8H100"]


def test_a_type_says_what_it_is_good_for_and_warns(db: Database) -> None:
    by = make.project(db).by
    plain = make.offer("1H100")
    told = replace(
        plain.hardware,
        gpu_name="H100 SXM5 80GB",
        p2p="900 GB/s",
        best_for=("Training", "Inference"),
        deploy_warning="It takes ten minutes to boot.",
    )
    make.catalogue(db, replace(plain, hardware=told))
    kind = db.read_now(catalog.get_type, by, "1H100")
    assert (kind.gpu_name, kind.p2p, kind.best_for, kind.deploy_warning) == (
        "H100 SXM5 80GB",
        "900 GB/s",
        ("Training", "Inference"),
        "It takes ten minutes to boot.",
    )
    make.catalogue(db, plain)
    kind = db.read_now(catalog.get_type, by, "1H100")
    assert (kind.gpu_name, kind.p2p, kind.best_for, kind.deploy_warning) == ("", None, (), None)


@pytest.mark.parametrize(
    ("sort", "ascending"),
    [
        (Sort.PRICE, ["b", "c", "a", "d"]),
        (Sort.VRAM, ["a", "b", "c", "d"]),
        (Sort.GPU_COUNT, ["a", "b", "d", "c"]),
        (Sort.GPU_MODEL, ["c", "d", "a", "b"]),
    ],
)
def test_every_order_breaks_ties_by_name(db: Database, sort: Sort, ascending: list[str]) -> None:
    by = make.project(db).by
    make.catalogue(
        db,
        make.offer("a", price="2", gpu_model="h100", gpu_vram_gb=40),
        make.offer("b", price="1", gpu_model="H100", gpu_vram_gb=40),
        make.offer("c", price="1", gpu_model="A100", gpu_vram_gb=10, gpu_count=4),
        make.offer("d", price="3", gpu_model="A100", gpu_vram_gb=80),
    )
    assert found(db, by, sort=sort) == ascending
    keyed = {
        Sort.PRICE: ["d", "a", "b", "c"],
        Sort.VRAM: ["d", "a", "b", "c"],
        Sort.GPU_COUNT: ["c", "a", "b", "d"],
        Sort.GPU_MODEL: ["a", "b", "c", "d"],
    }
    assert found(db, by, sort=sort, is_descending=True) == keyed[sort]


def test_a_price_is_the_lowest_where_it_can_be_had_and_each_region_has_its_own(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(
        db,
        make.offer(location="FIN-01", price="1", free=0, spot_price="0.2"),
        make.offer(location="FIN-02", price="3", free=2),
        make.offer(location="FIN-03", price="2", free=1, spot_price="0.7"),
    )
    make.catalogue(db, make.offer(location="FIN-02", price="2.5", free=4), provider="other")
    (view,) = search(db, by)
    assert (view.price, view.spot_price) == (from_usd("2"), from_usd("0.7"))
    assert [region.location.code for region in view.available] == ["FIN-02", "FIN-03"]
    assert [(region.free_units, region.price) for region in view.regions] == [
        (0, from_usd("1")),
        (6, from_usd("2.5")),
        (1, from_usd("2")),
    ]


def test_sold_out_everywhere_a_type_keeps_its_price_and_places(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(db, make.offer(price="2", free=0), make.offer(price="1", free=0, location="ICE-01"))
    assert search(db, by) == []
    (view,) = search(db, by, available_only=False)
    assert (view.price, list(view.available)) == (from_usd("1"), [])
    assert [region.location.code for region in view.regions] == ["FIN-01", "ICE-01"]
    assert refuses(db, by) == "no_capacity"


def test_what_is_no_longer_listed_is_no_longer_sold_and_comes_back_as_it_was(
    db: Database, clock: FakeClock
) -> None:
    by = make.project(db).by
    make.catalogue(db, make.offer("a"), make.offer("b"))
    before = rows(db, "SELECT id FROM offers ORDER BY id")
    make.catalogue(db, make.offer("b"))
    assert found(db, by, available_only=False) == ["b"]
    assert refuses(db, by, instance_type="a") == "no_capacity"
    with pytest.raises(NotFound):
        db.read_now(catalog.get_offer, by, "a")
    clock.advance(seconds=60)
    make.catalogue(db, make.offer("a"), make.offer("b"))
    assert found(db, by) == ["a", "b"]
    assert rows(db, "SELECT id FROM offers ORDER BY id") == before


def test_a_provider_leaves_the_offers_of_another_alone(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(db, make.offer("a"), provider="first")
    make.catalogue(db, make.offer("b"), provider="second")
    make.catalogue(db, make.offer("c"), provider="second")
    assert found(db, by) == ["a", "c"]
    db.write_now(catalog.note_failure, "first", "it does not answer")
    assert found(db, by) == ["a", "c"]
    assert rows(db, "SELECT name, failure FROM providers ORDER BY name") == [
        ("first", "it does not answer"),
        ("second", None),
    ]


def test_a_price_nobody_set_is_cost_and_margin_rounded_up(db: Database) -> None:
    by = make.project(db).by
    offer = make.offer(cost="1.000001")
    make.catalogue(db, replace(offer, price_micros_per_hour=None), margin_percent=15)
    assert search(db, by)[0].price == 1_150_002


def test_a_spot_price_nobody_set_is_its_cost_and_margin_rounded_up(db: Database) -> None:
    by = make.project(db).by
    sold = replace(make.offer(), spot_cost_micros_per_hour=333_333)
    make.catalogue(db, sold, make.offer(location="FIN-02"), margin_percent=15)
    prices = {region.location.code: region.spot_price for region in search(db, by)[0].regions}
    assert prices == {"FIN-01": 383_333, "FIN-02": None}


def test_a_listing_takes_off_the_units_it_cannot_know_of(db: Database, clock: FakeClock) -> None:
    by = make.project(db, credit="1000").by
    make.catalogue(db, make.offer(free=5))
    one, two, three = (make.ordered(db, by) for _ in range(3))
    assert free_units(db) == {"1H100.80S.30V@FIN-01": 2}
    clock.advance(seconds=10)
    make.provisioned(db, one)
    before_two = clock.advance(seconds=10)
    make.provisioned(db, two)
    clock.advance(seconds=10)
    # The provider was asked before the second was created: it counts the first alone, and says 4.
    make.catalogue(db, make.offer(free=4), listed_at=Instant(before_two - SECOND))
    assert free_units(db) == {"1H100.80S.30V@FIN-01": 2}
    # Asked now it counts both. The third is not created yet.
    make.catalogue(db, make.offer(free=3))
    assert free_units(db) == {"1H100.80S.30V@FIN-01": 2}
    make.provisioned(db, three)
    clock.advance(seconds=10)
    make.catalogue(db, make.offer(free=2))
    assert free_units(db) == {"1H100.80S.30V@FIN-01": 2}
    make.catalogue(db, make.offer(free=0))
    assert free_units(db) == {"1H100.80S.30V@FIN-01": 0}


def test_a_provider_that_says_less_than_is_claimed_leaves_nothing_to_sell(db: Database) -> None:
    by = make.project(db, credit="1000").by
    make.catalogue(db, make.offer(free=3))
    for _ in range(3):
        make.ordered(db, by)
    make.catalogue(db, make.offer(free=1))
    assert free_units(db) == {"1H100.80S.30V@FIN-01": 0}


def test_a_unit_that_was_started_again_is_counted_by_the_next_listing(db: Database, clock: FakeClock) -> None:
    made = make.instance(db, "offline")
    by = make.owner(made)
    assert free_units(db) == {"1H100.80S.30V@FIN-01": 8}
    db.write_now(instances.start, by, made.id)
    assert free_units(db) == {"1H100.80S.30V@FIN-01": 7}
    make.seen(db, made, instances.reachable, make.sighting(made))
    clock.advance(seconds=10)
    make.catalogue(db, make.offer(free=7))
    assert free_units(db) == {"1H100.80S.30V@FIN-01": 7}


def test_an_offer_that_turned_out_empty_rests_for_a_minute(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    make.catalogue(db)
    make.instance(db, "failed_no_capacity", by)
    assert search(db, by) == []
    assert refuses(db, by) == "no_capacity"
    clock.advance(seconds=60)
    assert len(search(db, by)) == 1
    assert refuses(db, by) is None


def test_an_image_is_found_by_id_and_by_slug(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(db)
    (image,) = db.read_now(catalog.images, by)
    assert db.read_now(catalog.get_image, by, image.id) == image
    assert db.read_now(catalog.get_image, by, "ubuntu-24.04") == image
    with pytest.raises(NotFound):
        db.read_now(catalog.get_image, by, "nonsense")
    with pytest.raises(NotFound):
        db.read_now(catalog.images, by, instance_type="nonsense")
    with pytest.raises(NotFound):
        search(db, by, image="nonsense")


def test_an_image_nobody_boots_any_more_is_neither_listed_nor_taken(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(db, images=[make.image("old"), make.image("new")])
    make.catalogue(db, images=[make.image("new")])
    assert [image.slug for image in db.read_now(catalog.images, by)] == ["new"]
    assert refuses(db, by, image_slug="old") == "invalid_field"
    make.catalogue(db, images=[make.image("old")], provider="other")
    assert sorted(image.slug for image in db.read_now(catalog.images, by)) == ["new", "old"]


def test_an_image_has_the_id_that_its_providers_clients_know_it_by(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(db, images=[make.image("known", known_id=KNOWN_ID)])
    make.catalogue(db, images=[make.image("known", known_id=ids.new(Instant(1)))], provider="other")
    assert db.read_now(catalog.get_image, by, "known").id == KNOWN_ID
    assert db.read_now(catalog.get_image, by, KNOWN_ID).slug == "known"


def test_an_id_that_is_taken_or_is_none_leaves_an_image_with_one_of_our_own(db: Database) -> None:
    by = make.project(db).by
    twice = [make.image("first", known_id=KNOWN_ID), make.image("second", known_id=KNOWN_ID)]
    make.catalogue(db, images=[*twice, make.image("third", known_id="no id")])
    found = {image.slug: image.id for image in db.read_now(catalog.images, by)}
    assert found["first"] == KNOWN_ID
    assert len(set(found.values())) == 3
    assert all(ids.is_id(each) for each in found.values())


def test_an_image_that_does_not_fit_is_refused_with_some_that_do(db: Database) -> None:
    by = make.project(db).by
    cuda = make.image("cuda", gpu_models=["A100"])
    make.catalogue(db, images=[cuda, *(make.image(f"plain-{n}") for n in range(7))])
    with pytest.raises(Invalid) as refusal:
        make.ordered(db, by, image_slug="cuda")
    assert refusal.value.code == "image_incompatible"
    shown = refusal.value.details["compatible_images"]
    assert isinstance(shown, list)
    assert len(shown) == 5
    assert all(name.startswith("plain") for name in shown)


sold = st.lists(
    st.tuples(st.sampled_from(GPUS), st.sampled_from(["FIN-01", "ICE-01"]), st.integers(0, 2)),
    min_size=1,
    max_size=5,
)
booted = st.lists(st.one_of(st.none(), st.lists(st.sampled_from(["H100", "A100"]))), min_size=1, max_size=4)


@given(sold=sold, booted=booted)
def test_what_is_listed_as_fitting_and_free_is_what_an_order_accepts(
    db: Database,
    clock: FakeClock,
    sold: list[tuple[str | None, str, int]],
    booted: list[list[str] | None],
) -> None:
    by = make.project(db, credit="100").by
    clock.advance(seconds=1)
    make.catalogue(
        db,
        *(
            make.offer(f"type-{gpu}", gpu_model=gpu, location=place, free=free, name=f"{n}")
            for n, (gpu, place, free) in enumerate(sold)
        ),
        images=[make.image(f"image-{n}", gpu_models=models) for n, models in enumerate(booted)],
    )
    views = {view.type.name: view for view in search(db, by, available_only=False)}
    everything = db.read_now(catalog.images, by)
    assert len(everything) == len(booted)
    for name, view in views.items():
        listed = {image.slug for image in db.read_now(catalog.images, by, instance_type=name)}
        free = {region.location.code for region in view.available}
        probed = db.read_now(catalog.get_offer, by, name)
        assert {region.location.code for region in probed.available} == free
        assert (name in found(db, by)) == bool(free)
        for image in everything:
            assert (image.slug in listed) == fits(image, view.type, clock.now())
            assert (image.slug in listed) == (name in found(db, by, image=image.slug, available_only=False))
            for region in view.regions:
                refusal = refuses(
                    db, by, instance_type=name, image_slug=image.slug, location=region.location.code
                )
                if image.slug not in listed:
                    assert refusal == "image_incompatible"
                else:
                    assert refusal == (None if region.location.code in free else "no_capacity")


def test_an_order_goes_to_the_cheapest_at_the_price_that_was_shown(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(db, make.offer(price="3", free=5), provider="dear")
    make.catalogue(db, make.offer(price="2", free=1), provider="cheap")
    for price, provider in (("2", "cheap"), ("3", "dear")):
        assert search(db, by)[0].price == from_usd(price)
        made = make.ordered(db, by)
        assert (made.price, made.provider) == (from_usd(price), provider)


def test_many_cheaper_offers_that_cannot_boot_the_image_do_not_hide_one_that_can(db: Database) -> None:
    by = make.project(db).by
    cheap = [make.offer(price="1", name=f"{n}") for n in range(30)]
    make.catalogue(db, *cheap, provider="cheap", images=[make.image("other")])
    make.catalogue(db, make.offer(price="2"), provider="dear")
    assert make.ordered(db, by).provider == "dear"


def test_offers_with_impossible_numbers_are_not_sold(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(
        db,
        make.offer("fine"),
        make.offer("free of charge", price="0"),
        make.offer("paid for by us", price="-1"),
        make.offer("costs less than nothing", cost="-1"),
        make.offer("beyond all counting", price="10001"),
        make.offer("less than none", free=-1),
    )
    assert found(db, by, available_only=False) == ["free of charge", "fine"]


def test_the_catalogue_needs_its_scope(db: Database) -> None:
    by = make.allowed(make.project(db).by, "billing:read")
    for verb in (catalog.locations, catalog.images):
        with pytest.raises(Forbidden):
            db.read_now(verb, by)
    with pytest.raises(Forbidden):
        search(db, by)


def test_an_image_that_only_another_provider_boots_does_not_fit(db: Database) -> None:
    by = make.project(db).by
    make.catalogue(db, make.offer("1H100"), provider="alpha", images=[make.image("alpha-linux")])
    make.catalogue(db, make.offer("1A100"), provider="beta", images=[make.image("beta-linux")])
    fitting = [image.slug for image in db.read_now(catalog.images, by, instance_type="1H100")]
    assert fitting == ["alpha-linux"]
    assert refuses(db, by, instance_type="1H100", image_slug="beta-linux") == "image_incompatible"
    assert refuses(db, by, instance_type="1H100", image_slug="alpha-linux") is None
