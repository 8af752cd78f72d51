"""Whatever is sold: the list, the probe, the images and the deploy tell one story."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from berth.base.clock import DAY
from tests import make
from tests.faces.conftest import Shop
from tests.faces.samples import order

GPUS = ["H100", "A100", None]
PLACES = ["FIN-01", "ICE-01"]
sold = st.lists(
    st.tuples(st.sampled_from(GPUS), st.sampled_from(PLACES), st.integers(0, 2)), min_size=1, max_size=4
)
ages = st.sampled_from([(None, None), (-1, None), (-1, 1), (-2, -1), (-2, 0)])
"""Days from now at which an image is deprecated and removed."""
booted = st.lists(
    st.tuples(st.one_of(st.none(), st.lists(st.sampled_from(["H100", "A100"]))), ages), min_size=1, max_size=3
)


@settings(max_examples=15)
@given(sold=sold, booted=booted)
def test_list_probe_images_and_deploy_agree(
    shop: Shop,
    sold: list[tuple[str | None, str, int]],
    booted: list[tuple[list[str] | None, tuple[int | None, int | None]]],
) -> None:
    shop.clock.advance(seconds=1)
    now = shop.clock.now()
    make.topup(shop.db, shop.customer.by, "1000")
    make.catalogue(
        shop.db,
        *(
            make.offer(f"type-{gpu}", gpu_model=gpu, location=place, free=free, name=f"{number}")
            for number, (gpu, place, free) in enumerate(sold)
        ),
        images=[
            make.image(
                f"image-{number}",
                gpu_models=models,
                deprecated_at=None if deprecated is None else now + deprecated * DAY,
                removed_at=None if removed is None else now + removed * DAY,
            )
            for number, (models, (deprecated, removed)) in enumerate(booted)
        ],
    )
    asyncio.run(_agree(shop, [f"image-{number}" for number in range(len(booted))]))


async def _agree(shop: Shop, slugs: list[str]) -> None:
    offers = (await shop.client.get("/gpus/available", available_only=False, limit=100)).data
    free = {offer["instance_type"] for offer in (await shop.client.get("/gpus/available", limit=100)).data}
    for offer in offers:
        kind = offer["instance_type"]
        assert (kind in free) == offer["is_available"] == bool(offer["regions"])
        images = (await shop.client.get("/images", cluster_type=kind, include_deprecated=True)).data
        listed = {image["image_type"] for image in images}
        assert set(offer["supported_images"]) == listed
        assert all(kind in image["compatible"]["cluster_types"] for image in images)
        current = {row["image_type"] for row in (await shop.client.get("/images", cluster_type=kind)).data}
        assert current == {row["image_type"] for row in images if row["deprecated_at"] is None}
        for slug in slugs:
            for place in offer["region_details"]:
                await _deploy(shop, kind, place["code"], slug, is_listed=slug in listed)


async def _deploy(shop: Shop, kind: str, place: str, slug: str, *, is_listed: bool) -> None:
    offer = (await shop.client.get(f"/gpus/available/{kind}")).data
    probe = (await shop.client.get(f"/deployments/availability/{kind}")).data
    here = (await shop.client.get(f"/deployments/availability/{kind}", location=place)).data
    assert (probe["is_available"], probe["regions"]) == (offer["is_available"], offer["regions"])
    assert here["is_available"] == (place in offer["regions"])
    body = order(shop, cluster_type=kind, image=slug, location=place)
    answer = await shop.client.post("/deployments/clusters", body)
    await shop.client.delete(f"/ssh-keys/{body['ssh_key_ids'][0]}")
    if not is_listed:
        assert answer.json["reason"] in {"image_incompatible", "invalid_field"}
        assert answer.status == 400
    elif here["is_available"]:
        assert answer.status == 200
    else:
        answer.refused(409, "no_capacity")
