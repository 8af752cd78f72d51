"""What is particular about buying from Verda: its answers, its stops, its leftovers."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from berth.base import ids
from berth.core.driver import (
    BadCredentials,
    DriverError,
    Label,
    Mount,
    NoCapacity,
    OutcomeUnknown,
    Power,
    RateLimited,
    Refused,
    Sighting,
    Unreachable,
    VolumeOrder,
)
from berth.drivers.verda import VerdaConfig, VerdaDriver
from berth.drivers.verda.limits import Limits
from tests.drivers.verda.rig import VerdaRig, open_verda
from tests.drivers.verda.service import IMAGES

NO_CAPACITY = '{"code":"service_unavailable","message":"Not enough resources at the moment, try again later"}'


def over(test: Callable[[VerdaRig, VerdaDriver], Awaitable[None]], *, stock: int = 1000) -> None:
    async def whole() -> None:
        async with open_verda(stock=stock) as rig:
            driver = rig.driver()
            try:
                await asyncio.wait_for(test(rig, driver), 20)
            finally:
                await driver.close()

    asyncio.run(whole())


async def until(driver: VerdaDriver, label: Label, power: Power) -> Sighting:
    for _ in range(10):
        sighting = await driver.inspect(label, None)
        if sighting is not None and sighting.power is power:
            return sighting
    raise AssertionError(f"{label} is not {power}")


async def running(driver: VerdaDriver, label: Label) -> Sighting:
    return await until(driver, label, Power.RUNNING)


async def stopped(driver: VerdaDriver, label: Label) -> Sighting:
    return await until(driver, label, Power.STOPPED)


def test_types_places_and_availability_become_offers_at_their_cost() -> None:
    async def test(_rig: VerdaRig, driver: VerdaDriver) -> None:
        catalogue = await driver.catalogue()
        gpu, cpu = catalogue.offers
        assert (gpu.provider_offer_id, gpu.cost_micros_per_hour, gpu.price_micros_per_hour) == (
            "1H100.80S.22V@FIN-01",
            3_170_000,
            None,
        )
        assert (gpu.spot_cost_micros_per_hour, gpu.spot_free_units, gpu.free_units) == (310_000, 1, 1)
        assert (gpu.hardware.gpu_name, gpu.hardware.p2p, gpu.hardware.gpu_vram_gb) == (
            "H100 SXM5 80GB",
            "600 GB/s",
            80,
        )
        assert (cpu.cost_micros_per_hour, cpu.hardware.gpu_model, cpu.hardware.gpu_count) == (27_900, None, 0)
        images = {image.slug: image.gpu_models for image in catalogue.images}
        assert images == {"ubuntu-24.04": None, "ubuntu-22.04-cuda-12.3": ("H100",)}
        assert {image.known_id for image in catalogue.images} == {ids.of_uuid(str(IMAGES[0]["id"]))}

    over(test)


def test_what_cannot_be_had_is_listed_as_sold_out() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        await driver.create(rig.order())
        gpu, _ = (await driver.catalogue()).offers
        assert (gpu.free_units, gpu.spot_free_units) == (0, 0)
        with pytest.raises(NoCapacity):
            await driver.create(rig.order())

    over(test, stock=1)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, NO_CAPACITY, NoCapacity),
        (503, "<html>gateway</html>", OutcomeUnknown),
        (502, "", OutcomeUnknown),
        (500, '{"code":"server_error","message":""}', OutcomeUnknown),
        (402, '{"code":"insufficient_funds","message":"Not enough funds"}', BadCredentials),
        (403, '{"code":"forbidden_action","message":"Quota"}', Refused),
        (400, '{"code":"invalid_request","message":["a","b"]}', Refused),
        (404, '{"code":"not_found","message":"Operating system or volume not found"}', Refused),
        (409, "[]", Refused),
        (302, "", Refused),
    ],
)
def test_a_refused_create_says_what_to_do_next_and_leaves_no_keys(
    status: int, body: str, kind: type[DriverError]
) -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        rig.service.faults.answers.append(("POST /instances", status, body, {}))
        with pytest.raises(kind):
            await driver.create(replace(rig.order(), startup_script="#!/bin/sh\n"))
        is_lost = kind is OutcomeUnknown
        assert (bool(rig.service.keys), bool(rig.service.scripts)) == (is_lost, is_lost)
        assert not rig.service.instances

    over(test)


def test_an_image_that_does_not_boot_is_told_to_the_customer() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        with pytest.raises(Refused) as refusal:
            await driver.create(replace(rig.order(), image_slug="windows"))
        assert refusal.value.reason == "The image does not boot on this type."

    over(test)


def test_a_lost_answer_to_a_create_is_resolved_by_the_label() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = rig.order()
        rig.service.faults.lost.append("POST /instances")
        with pytest.raises(OutcomeUnknown):
            await driver.create(order)
        found = await driver.inspect(order.label, None)
        assert found is not None
        assert (await driver.create(order)).handle == found.handle
        assert len(rig.service.instances) == 1

    over(test)


def test_a_lost_answer_to_a_new_volume_is_resolved_by_the_label() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = rig.volume()
        rig.service.faults.lost.append("POST /volumes")
        with pytest.raises(OutcomeUnknown):
            await driver.create_volume(order)
        await driver.create_volume(order)
        assert len(rig.service.volumes) == 1

    over(test)


def test_the_address_comes_late_and_members_may_be_missing() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = rig.order()
        made = await driver.create(order)
        assert (made.power, made.ip) == (Power.CREATING, None)
        sighting = await running(driver, order.label)
        assert (sighting.ip, sighting.ssh_user) == ("192.0.2.1", "root")

    over(test)


@pytest.mark.parametrize(
    ("status", "power"),
    [("no_capacity", Power.FAILED), ("installation_failed", Power.FAILED), ("validating", Power.CREATING)],
)
def test_every_status_has_a_meaning(status: str, power: Power) -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = rig.order()
        await driver.create(order)
        (instance,) = rig.service.instances.values()
        instance["status"] = status
        sighting = await driver.inspect(order.label, None)
        assert sighting is not None
        assert sighting.power is power
        assert (sighting.reason is not None) == (power is Power.FAILED)

    over(test)


def test_a_status_that_says_nothing_is_never_absence() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = rig.order()
        await driver.create(order)
        (instance,) = rig.service.instances.values()
        instance["status"] = "unknown"
        with pytest.raises(Unreachable):
            await driver.inspect(order.label, None)
        with pytest.raises(Unreachable):
            await driver.list_own(rig.install_id)

    over(test)


def test_what_is_provisioning_is_destroyed_once_it_can_be() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        rig.service.faults.sticks = "provisioning"
        await driver.inspect(order.label, handle)
        with pytest.raises(Unreachable):
            await driver.destroy(handle)
        rig.service.faults.sticks = ""
        await running(driver, order.label)
        await driver.destroy(handle)
        rig.service.faults.keeps_listing = 1
        assert (await driver.inspect(order.label, handle)) is not None
        await driver.destroy(handle)  # being deleted: nothing to do
        for _ in range(3):
            await driver.inspect(order.label, handle)
        assert await driver.inspect(order.label, handle) is None
        await driver.destroy(handle)

    over(test)


def test_a_destroy_takes_the_disk_for_good_and_the_keys_and_scripts_with_it() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = replace(rig.order(), startup_script="#!/bin/sh\necho hi\n")
        handle = (await driver.create(order)).handle
        assert [row["script"] for row in rig.service.scripts.values()] == [order.startup_script]
        await running(driver, order.label)
        await driver.destroy(handle)
        (disk,) = rig.service.volumes.values()
        assert (disk["status"], disk["is_permanently_deleted"]) == ("deleted", True)
        assert not rig.service.keys
        assert not rig.service.scripts

    over(test)


def test_a_plain_stop_keeps_the_machine_and_a_releasing_one_keeps_its_disk_only() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        data = await driver.create_volume(rig.volume())
        order = replace(rig.order(), mounts=(Mount(data.handle, "data"),))
        handle = (await driver.create(order)).handle
        before = await running(driver, order.label)
        await driver.stop(handle, release=False)
        (machine,) = rig.service.instances.values()
        assert machine["status"] == "offline"
        await driver.stop(handle, release=True)
        released = await stopped(driver, order.label)
        assert machine["status"] == "discontinued"
        assert (released.handle, released.disk_handle) == (handle, before.disk_handle)
        listing = await driver.list_own(rig.install_id)
        assert [(each.handle, each.power) for each in listing.sightings] == [(handle, Power.STOPPED)]
        await driver.attach_volume(handle, Mount(data.handle, "data"))  # there when it is made again
        await driver.start(handle, order)
        after = await running(driver, order.label)
        assert (after.handle, after.disk_handle) == (handle, before.disk_handle)
        assert after.ip != before.ip
        first, second = rig.service.instances.values()
        assert second["id"] != first["id"]
        assert second["volume_ids"] == [before.disk_handle, data.handle]

    over(test)


def test_what_was_given_back_may_find_no_capacity_and_keeps_its_disk() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        await running(driver, order.label)
        await driver.stop(handle)
        await stopped(driver, order.label)
        rig.service.faults.no_capacity = True
        with pytest.raises(NoCapacity):
            await driver.start(handle, order)
        assert (await stopped(driver, order.label)).handle == handle
        await driver.destroy(handle)
        assert await driver.inspect(order.label, handle) is None
        assert not rig.service.keys

    over(test)


def test_a_stop_gives_up_on_a_machine_that_does_not_go_down() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        await running(driver, order.label)
        rig.service.faults.answers.append(("PUT /instances", 202, "", {}))
        with pytest.raises(Unreachable):
            await driver.stop(handle)
        (machine,) = rig.service.instances.values()
        assert machine["status"] == "running"

    over(test)


def test_a_kept_disk_is_a_volume_and_another_instance_boots_from_it() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        disk = (await running(driver, order.label)).disk_handle
        assert disk is not None
        assert not (await driver.list_own_volumes(rig.install_id)).sightings
        await driver.destroy(handle, keep_disk=True)
        for _ in range(3):
            await driver.inspect(order.label, handle)
        assert await driver.inspect(order.label, handle) is None
        (kept,) = (await driver.list_own_volumes(rig.install_id)).sightings
        assert (kept.handle, kept.attached_to) == (disk, frozenset())
        other = replace(rig.order(), boot_volume=disk)
        await driver.create(other)
        assert (await running(driver, other.label)).disk_handle == disk
        assert not (await driver.list_own_volumes(rig.install_id)).sightings

    over(test)


def test_a_clone_is_a_copy_that_is_ready_after_a_while() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        source = await driver.create_volume(rig.volume())
        order: VolumeOrder = replace(rig.volume(), source=source.handle)
        made = await driver.create_volume(order)
        assert not made.is_ready
        now = await driver.inspect_volume(order.label, made.handle)
        assert now is not None
        assert now.is_ready

    over(test)


def test_an_evicted_spot_instance_is_gone_and_its_disk_is_a_volume() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = replace(rig.order(), is_spot=True)
        handle = (await driver.create(order)).handle
        disk = (await running(driver, order.label)).disk_handle
        (machine,) = rig.service.instances.values()
        assert machine["is_spot"] is True
        rig.service.evict(machine["id"])
        assert await driver.inspect(order.label, handle) is None
        assert not (await driver.list_own(rig.install_id)).sightings
        (left,) = (await driver.list_own_volumes(rig.install_id)).sightings
        assert left.handle == disk
        await driver.destroy_volume(left.handle)
        assert not (await driver.list_own_volumes(rig.install_id)).sightings

    over(test)


def test_a_token_that_is_ended_early_is_replaced_and_the_call_made_again() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        await driver.catalogue()
        rig.service.tokens.clear()
        await driver.catalogue()

    over(test)


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_token_is_refreshed_before_it_ends_and_made_anew_where_that_is_refused(is_refused: bool) -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        await driver.list_own(rig.install_id)
        rig.service.faults.refresh_refused = is_refused
        rig.clock.now += 3575
        before = rig.service.calls["POST /oauth2/token"]
        await driver.list_own(rig.install_id)
        assert rig.service.calls["POST /oauth2/token"] - before == 1 + is_refused

    over(test)


def test_a_wrong_secret_is_bad_credentials_and_not_asked_again_and_again() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        wrong = rig.driver(client_secret="wrong")
        try:
            with pytest.raises(BadCredentials):
                await wrong.inspect(rig.order().label, None)
            assert rig.service.calls["POST /oauth2/token"] == 1
        finally:
            await wrong.close()

    over(test)


def test_the_secret_is_in_no_description_of_its_settings() -> None:
    assert "hush" not in repr(VerdaConfig("http://127.0.0.1:1/v1", "id", "hush"))


def test_a_service_that_is_not_there_is_unreachable() -> None:
    async def whole() -> None:
        driver = VerdaDriver(VerdaConfig("http://127.0.0.1:9/v1", "id", "secret"))
        try:
            with pytest.raises(Unreachable):
                await driver.catalogue()
        finally:
            await driver.close()

    asyncio.run(whole())


def test_too_many_calls_say_how_long_to_wait() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        body = '{"code":"rate_limit_exceeded","message":"Too many requests"}'
        rig.service.faults.answers.append(("GET /instances", 429, body, {"Retry-After": "49"}))
        with pytest.raises(RateLimited) as refusal:
            await driver.list_own(rig.install_id)
        assert refusal.value.retry_after_s == 49

    over(test)


def test_what_would_be_refused_is_not_sent() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        await driver.list_own(rig.install_id)
        rig.service.headers["RateLimit"] = '"project";r=486;t=37, "endpoint";r=0;t=48'
        await driver.list_own(rig.install_id)
        sent = rig.service.calls["GET /instances"]
        with pytest.raises(RateLimited) as refusal:
            await driver.list_own(rig.install_id)
        assert refusal.value.retry_after_s == pytest.approx(48)
        assert rig.service.calls["GET /instances"] == sent
        rig.service.headers.clear()
        rig.clock.now += 48
        await driver.list_own(rig.install_id)

    over(test)


@pytest.mark.parametrize("header", ["", "nonsense", '"project";r=x;t=1', '"project";r=0', None])
def test_a_strange_limit_holds_nobody_back(header: str | None) -> None:
    limits = Limits(lambda: 0.0)
    limits.heard("GET /x", header)
    limits.check("GET /x")


def test_answers_that_are_no_lists_prove_nothing() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        order = rig.order()
        await driver.create(order)
        for body in ("", "<html>", '{"message":"hm"}', '"text"'):
            rig.service.faults.answers.append(("GET /instances", 200, body, {}))
            with pytest.raises(Unreachable):
                await driver.list_own(rig.install_id)

    over(test)


@pytest.mark.parametrize("form", ['"{}"', '["{}"]', '{{"id":"{}"}}', "{}\n"])
def test_a_new_id_is_read_in_every_form(form: str) -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        volume = (await driver.create_volume(rig.volume())).handle
        order = rig.volume()
        rig.service.volumes[volume]["name"] = str(order.label)
        rig.service.faults.answers += [
            ("GET /volumes", 200, "[]", {}),
            ("POST /volumes", 202, form.format(volume), {}),
        ]
        assert (await driver.create_volume(order)).handle == volume

    over(test)


def test_what_was_made_for_nobody_is_taken_away_the_second_time_it_is_seen() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        gone, theirs = rig.order().label, Label("ffffffffff", rig.order().label.instance_id)
        for name in (str(gone), str(theirs), "somebody's laptop"):
            rig.service.keys[name] = {"id": name, "name": name, "key": "ssh-ed25519 AAAA"}
        await driver.create(rig.order())
        await driver.list_own(rig.install_id)
        assert len(rig.service.keys) == 4
        await driver.list_own(rig.install_id)
        assert str(gone) not in rig.service.keys
        assert len(rig.service.keys) == 3

    over(test)


@pytest.mark.parametrize(
    "name", ["訓練" * 100, " ../a b/$(reboot)", "-x-", "", "a" * 300, "My Machine.example.org"]
)
def test_any_name_becomes_a_host_name(name: str) -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        await driver.create(replace(rig.order(), hostname=name))
        (machine,) = rig.service.instances.values()
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", machine["hostname"])

    over(test)


def test_a_gigantic_answer_is_given_up() -> None:
    async def test(rig: VerdaRig, driver: VerdaDriver) -> None:
        rig.service.faults.answers.append(("GET /instances", 200, "[" + " " * (33 * 2**20) + "]", {}))
        with pytest.raises(Unreachable):
            await driver.list_own(rig.install_id)

    over(test)
