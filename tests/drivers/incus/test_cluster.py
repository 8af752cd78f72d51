"""What happens to a real cluster: members that die and come back or are emptied, volumes on their way, all that is refused."""

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from berth.base.clock import HOUR, Instant, SystemClock
from berth.core.driver import (
    BadCredentials,
    DriverError,
    Mount,
    NoCapacity,
    OutcomeUnknown,
    Power,
    Refused,
    Sighting,
    Unreachable,
)
from berth.drivers.incus import IncusConfig, IncusDriver, Location, names
from berth.drivers.incus.moving import Mover
from tests.drivers.incus.cluster import Member
from tests.drivers.incus.rig import CARD, IMAGE, PLACE, PROJECT, SMALL, IncusRig, certificate, open_incus
from tests.drivers.incus.standin import StandIn, standing_in

pytestmark = [pytest.mark.xdist_group("incus"), pytest.mark.timeout(600)]
LIMIT_S = 120.0
Test = Callable[[IncusRig, IncusDriver], Awaitable[None]]


def perform(test: Test, **settings: Any) -> None:
    async def whole() -> None:
        async with open_incus(**settings) as rig:
            driver = rig.driver()
            try:
                await asyncio.wait_for(test(rig, driver), LIMIT_S)
            finally:
                await driver.close()

    asyncio.run(whole())


def only_on(member: Member) -> dict[str, Any]:
    return {"locations": (Location(PLACE, frozenset({member.name})),)}


async def until(what: Callable[[], Awaitable[bool]], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not await what():
        assert time.monotonic() < deadline, "still not so"
        await asyncio.sleep(0.2)


async def listed(rig: IncusRig, driver: IncusDriver) -> Sighting:
    (sighting,) = (await driver.list_own(rig.install_id)).sightings
    return sighting


def with_full_rights(rig: IncusRig, **changes: Any) -> IncusConfig:
    return replace(rig.config, addresses=(), socket=rig.cluster.members[0].socket, **changes)


def test_a_member_that_is_killed_is_unreachable_and_never_gone_and_comes_back_with_its_instances() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        member = rig.cluster.members[2]
        own = rig.driver(**only_on(member))
        order = rig.order()
        created = await own.create(order)
        await own.close()
        assert await rig.run(created, "echo before") == "before\n"
        rig.cluster.kill(member)
        assert await rig.run(created, "echo still there") == "still there\n", (
            "the daemon died, not the instance"
        )

        async def is_unreachable() -> bool:
            return (await listed(rig, driver)).is_unreachable

        await until(is_unreachable)
        assert (await listed(rig, driver)).power is Power.RUNNING
        with pytest.raises(Unreachable):
            await driver.inspect(order.label, created.handle)
        with pytest.raises(DriverError) as refusal:
            await driver.stop(created.handle)
        assert isinstance(refusal.value, Unreachable | OutcomeUnknown)
        with pytest.raises((NoCapacity, Unreachable)):
            await rig.driver(**only_on(member)).create(rig.order())
        elsewhere = rig.order()
        assert (await driver.create(elsewhere)).power is Power.RUNNING, "two of three go on"
        await driver.destroy((await driver.inspect(elsewhere.label, None) or created).handle)
        rig.cluster.boot(member)
        rig.cluster.ready(member)

        async def is_back() -> bool:
            with contextlib.suppress(Unreachable):
                return await driver.inspect(order.label, created.handle) == created
            return False

        await until(is_back)
        assert not (await listed(rig, driver)).is_unreachable
        assert await rig.run(created, "echo after") == "after\n"

    perform(test)


def test_a_member_is_emptied_and_its_instances_go_on_elsewhere_with_their_volumes() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        member = rig.cluster.members[1]
        own = rig.driver(**only_on(member))
        volume, order = rig.volume(), rig.order()
        handle = (await own.create_volume(volume)).handle
        order = replace(order, mounts=(Mount(handle, "data"),))
        created = await own.create(order)
        await own.close()
        assert created.ip == member.ip
        await rig.run(created, "echo mine > /mnt/data/file; echo too > kept.txt; sync")
        operator = IncusDriver(with_full_rights(rig))
        mover = Mover(operator._config, operator)
        at = Instant(SystemClock().now() + HOUR)
        await mover.announce(member.name, at)
        assert (await listed(rig, driver)).evicts_at == at
        with pytest.raises(NoCapacity):
            await rig.driver(**only_on(member)).create(rig.order())
        moved = [each async for each in mover.empty(member.name)]
        assert [(each.handle, each.label, each.problem) for each in moved] == [
            (created.handle, order.label, None)
        ]
        seen = await driver.inspect(order.label, created.handle)
        assert seen is not None
        assert (seen.power, seen.evicts_at, seen.ssh_port) == (Power.RUNNING, None, created.ssh_port)
        assert seen.ip in {each.ip for each in rig.cluster.members} - {member.ip}
        assert await rig.run(seen, "cat /mnt/data/file kept.txt") == "mine\ntoo\n"
        assert seen.ssh_host_key_fingerprint == created.ssh_host_key_fingerprint
        await mover.restore(member.name)
        await operator.close()
        again = rig.driver(**only_on(member))
        assert (await again.create(rig.order())).ip == member.ip

    perform(test)


def test_a_volume_goes_with_its_content_from_one_instance_to_another_on_another_member() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        one, other = (rig.driver(**only_on(member)) for member in rig.cluster.members[:2])
        volume = rig.volume()
        handle = (await one.create_volume(volume)).handle
        first = await one.create(replace(rig.order(), mounts=(Mount(handle, "data"),)))
        second = await other.create(rig.order())
        assert first.ip != second.ip
        await rig.run(first, "echo precious > /mnt/data/file && sync")
        with pytest.raises(Refused) as refusal:
            await driver.attach_volume(second.handle, Mount(handle, "data"))
        assert refusal.value.reason == "The volume is attached to another instance."
        await driver.detach_volume(first.handle, handle)
        await driver.attach_volume(second.handle, Mount(handle, "data"))
        assert await rig.run(second, "cat /mnt/data/file") == "precious\n"
        await driver.detach_volume(second.handle, handle)
        await driver.attach_volume(first.handle, Mount(handle, "data"))
        assert await rig.run(first, "cat /mnt/data/file") == "precious\n"
        assert len((await driver.list_own_volumes(rig.install_id)).sightings) == 1

    perform(test)


def test_the_startup_script_runs_once_and_finds_its_environment() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        script = '#!/bin/sh\necho "$GREETING" >> /root/said\n'
        order = rig.order(startup_script=script, environment={"GREETING": "good morning"})
        seen = await driver.create(order)
        await rig.run(seen, "until test -s said; do sleep 0.1; done")
        await driver.restart(seen.handle)
        assert (
            await rig.run(
                seen, "until systemctl -q is-active multi-user.target; do sleep 0.1; done; cat said"
            )
            == "good morning\n"
        )

    perform(test)


def test_limits_are_those_of_the_type() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        seen = await driver.create(rig.order())
        assert await rig.run(seen, "nproc") == "1\n"
        found = json.loads(
            rig.cluster.incus(
                rig.cluster.members[0], "query", f"/1.0/instances/{seen.handle}?project={PROJECT}"
            )
        )
        assert found["config"]["limits.memory"] == "1GiB"
        assert found["devices"]["root"]["size"] == "10GiB"

    perform(test)


@asynccontextmanager
async def with_cards(
    rig: IncusRig, directory: Path, cards: dict[str, list[str]]
) -> AsyncIterator[tuple[StandIn, IncusDriver]]:
    async with standing_in(rig.cluster.members[0].socket, directory, cards) as (stand_in, socket):
        # The stand-ins have no libraries of NVIDIA's.
        driver = IncusDriver(replace(with_full_rights(rig), socket=socket, nvidia_runtime=False))
        try:
            yield stand_in, driver
        finally:
            await driver.close()


def test_no_two_instances_share_a_card_and_a_stop_releases_or_keeps_it_as_it_is_told(tmp_path: Path) -> None:
    async def test(rig: IncusRig, _: IncusDriver) -> None:
        there = {"gpu2": ["0000:41:00.0", "0000:c1:00.0"]}
        async with with_cards(rig, tmp_path, there) as (_stand_in, driver):

            async def free() -> int:
                offers = (await driver.catalogue()).offers
                return next(each.free_units for each in offers if each.hardware.name == CARD.name)

            async def card(sighting: Sighting) -> str:
                return await rig.run(sighting, "ls /dev | grep card-")

            assert await free() == 2
            orders = [rig.order(CARD) for _ in range(2)]
            one, two = await asyncio.gather(*(driver.create(order) for order in orders))
            assert one.ip == two.ip == rig.cluster.members[1].ip
            assert {await card(one), await card(two)} == {f"card-{pci}\n" for pci in there["gpu2"]}
            assert await free() == 0
            third = rig.order(CARD)
            with pytest.raises(NoCapacity):
                await driver.create(third)
            assert await driver.inspect(third.label, None) is None, "nothing leaked"
            await driver.stop(one.handle, release=False)
            with pytest.raises(NoCapacity):
                await driver.create(third)
            await driver.stop(one.handle, release=True)
            assert await free() == 1
            taker = await driver.create(third)
            with pytest.raises(NoCapacity):
                await driver.start(one.handle)
            await driver.destroy(two.handle)
            await driver.start(one.handle)
            assert {await card(one), await card(taker)} == {f"card-{pci}\n" for pci in there["gpu2"]}

    perform(test)


def test_a_card_that_is_gone_is_no_capacity_and_leaves_nothing(tmp_path: Path) -> None:
    async def test(rig: IncusRig, _: IncusDriver) -> None:
        async with with_cards(rig, tmp_path, {"gpu1": ["0000:41:00.0"]}) as (stand_in, driver):
            stand_in.broken.add("0000:41:00.0")
            order = rig.order(CARD)
            with pytest.raises(NoCapacity) as refusal:
                await driver.create(order)
            assert refusal.value.reason == "The host's GPU is not available at the moment."
            assert await driver.inspect(order.label, None) is None

    perform(test)


def test_a_create_whose_answer_is_lost_is_unknown_and_made_once(tmp_path: Path) -> None:
    async def test(rig: IncusRig, _: IncusDriver) -> None:
        async with with_cards(rig, tmp_path, {}) as (stand_in, driver):
            stand_in.drops.append(("POST", "/1.0/instances"))
            order = rig.order()
            with pytest.raises(OutcomeUnknown):
                await driver.create(order)
            seen = await driver.create(order)
            assert await rig.run(seen, "echo one") == "one\n"
            assert len((await driver.list_own(rig.install_id)).sightings) == 1

    perform(test)


def test_a_project_that_is_not_there_is_bad_credentials_and_proves_nothing() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        order = rig.order()
        await driver.create(order)
        for wrong in (
            rig.driver(project="nobody"),
            rig.driver(addresses=(), socket=rig.cluster.members[0].socket, project="nobody"),
        ):
            for ask in (
                wrong.list_own(rig.install_id),
                wrong.inspect(order.label, None),
                wrong.catalogue(),
                wrong.list_own_volumes(rig.install_id),
            ):
                with pytest.raises(BadCredentials):
                    await ask
            await wrong.close()

    perform(test)


def test_certificates_that_are_not_accepted_are_bad_credentials() -> None:
    async def test(rig: IncusRig, _: IncusDriver) -> None:
        directory = rig.cluster.directory
        certificate(directory, "stranger")
        certificate(directory, "old", days=-1)
        for changes in (
            {"certificate": directory / "stranger.crt", "key": directory / "stranger.key"},
            {"certificate": directory / "old.crt", "key": directory / "old.key"},
            {"certificate": directory / "nowhere.crt"},
            {"server_fingerprint": "00" * 32},
        ):
            driver = rig.driver(**changes)
            with pytest.raises(BadCredentials):
                await driver.list_own(rig.install_id)
            await driver.close()

    perform(test)


def test_a_certificate_that_is_put_in_the_place_of_another_is_shown_from_then_on() -> None:
    async def test(rig: IncusRig, _: IncusDriver) -> None:
        directory = rig.cluster.directory
        certificate(directory, "shown")
        files = {"certificate": directory / "shown.crt", "key": directory / "shown.key"}
        driver = rig.driver(**files)
        with pytest.raises(BadCredentials):
            await driver.list_own(rig.install_id)
        shutil.copy(directory / "ours.key", files["key"])
        with pytest.raises(BadCredentials):
            await driver.list_own(rig.install_id)
        shutil.copy(directory / "ours.crt", files["certificate"])
        assert (await driver.list_own(rig.install_id)).is_complete
        await driver.close()

    perform(test)


def test_an_image_that_is_not_there_is_refused_with_a_reason_and_leaves_nothing() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        order = rig.order(image_slug="no-such-image")
        with pytest.raises(Refused) as refusal:
            await driver.create(order)
        assert refusal.value.reason == "The image is not available on the hosts at the moment."
        assert await driver.inspect(order.label, None) is None

    perform(test)


def test_a_full_pool_is_no_capacity() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        member = rig.cluster.members[1]
        own = rig.driver(**only_on(member))
        volume = replace(rig.volume(), size_gb=20)
        handle = (await own.create_volume(volume)).handle
        seen = await own.create(replace(rig.order(), mounts=(Mount(handle, "data"),)))
        said = await rig.run(
            seen,
            "fallocate -l 3200M /mnt/data/a; dd if=/dev/zero of=/mnt/data/b bs=1M 2>&1 | tail -1; sync; echo ok",
        )
        assert said.endswith("ok\n")
        order = rig.order(startup_script="#" * 64_000_000)
        with pytest.raises(NoCapacity) as refusal:
            await own.create(order)
        assert refusal.value.reason == "The host's storage is full."
        await own.close()

    perform(test)


def test_a_name_that_somebody_else_has_is_refused_and_theirs_is_left_alone() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        order, first = rig.order(), rig.cluster.members[0]
        name = names.instance(order.label)
        rig.cluster.incus(first, "init", IMAGE, name, "--project", PROJECT)
        try:
            with pytest.raises(Refused):
                await driver.create(order)
            assert await driver.inspect(order.label, None) is None
            with pytest.raises(Refused):
                await driver.destroy(name)
        finally:
            rig.cluster.incus(first, "delete", name, "--project", PROJECT)

    perform(test)


def test_what_was_deleted_behind_our_back_is_gone() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        order = rig.order()
        seen = await driver.create(order)
        rig.cluster.incus(rig.cluster.members[0], "delete", "--force", seen.handle, "--project", PROJECT)
        assert await driver.inspect(order.label, seen.handle) is None
        await driver.destroy(seen.handle)
        for act in (driver.start(seen.handle), driver.stop(seen.handle), driver.restart(seen.handle)):
            with pytest.raises(Refused):
                await act

    perform(test)


def test_a_cluster_that_cannot_be_reached_at_first_is_unreachable_and_found_later() -> None:
    async def test(rig: IncusRig, _: IncusDriver) -> None:
        dead = ("https://127.0.0.1:9", *rig.config.addresses)
        driver = rig.driver(addresses=dead[:1])
        with pytest.raises(Unreachable):
            await driver.catalogue()
        await driver.close()
        driver = rig.driver(addresses=dead)
        assert (await driver.catalogue()).offers, "another member answers"
        await driver.close()

    perform(test)


def test_a_change_at_the_cluster_is_told() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        async def first_change() -> None:
            async for _ in driver.changes():
                return

        told = asyncio.create_task(first_change())
        order = rig.order()

        async def has_heard() -> bool:
            # What changed before the line was open is not told.
            await driver.restart((await driver.create(order)).handle)
            return told.done()

        await until(has_heard)
        await told

    perform(test)


def test_a_member_that_no_location_names_any_more_sells_nothing_and_keeps_what_it_has() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        order = rig.order()
        seen = await driver.create(order)
        renamed = rig.driver(locations=(Location(PLACE, frozenset({"renamed"})),))
        assert {offer.free_units for offer in (await renamed.catalogue()).offers} == {0}
        assert await renamed.inspect(order.label, seen.handle) == seen
        await renamed.close()
        assert SMALL.name in {offer.hardware.name for offer in (await driver.catalogue()).offers}

    perform(test)


def test_a_pool_that_enforces_no_sizes_is_refused() -> None:
    async def test(rig: IncusRig, driver: IncusDriver) -> None:
        first = rig.cluster.members[0]
        for member in rig.cluster.members:
            rig.cluster.incus(first, "storage", "create", "plain", "dir", "--target", member.name)
        rig.cluster.incus(first, "storage", "create", "plain", "dir")
        try:
            with pytest.raises(Refused, match="enforces no sizes"):
                await rig.driver(pool="plain").catalogue()
            with pytest.raises(Refused):
                await rig.driver(pool="nowhere").catalogue()
        finally:
            rig.cluster.incus(first, "storage", "delete", "plain")

    perform(test)


def test_the_engine_counts_cards_too_where_it_is_told_no_member(tmp_path: Path) -> None:
    async def test(rig: IncusRig, _: IncusDriver) -> None:
        first = rig.cluster.members[0]
        async with with_cards(rig, tmp_path, {"gpu3": ["0000:41:00.0"]}) as (_stand_in, driver):
            found = await Mover(driver._config, driver).guard()
            assert found == {"gpu1": 0, "gpu2": 0, "gpu3": 1}
            try:
                seen = await driver.create(rig.order(CARD))
                assert seen.ip == rig.cluster.members[2].ip
                with pytest.raises(AssertionError, match="no capacity"):
                    rig.cluster.incus(first, "init", IMAGE, "past", "-c", "user.gpus=1", "--project", PROJECT)
                await driver.destroy(seen.handle)
                rig.cluster.incus(first, "init", IMAGE, "past", "-c", "user.gpus=1", "--project", PROJECT)
                where = rig.cluster.incus(first, "list", "-f", "csv", "-c", "nL", "--project", PROJECT)
                assert "past,gpu3" in where
            finally:
                rig.cluster.incus(first, "config", "unset", "instances.placement.scriptlet")
                listed = rig.cluster.incus(first, "list", "-f", "csv", "-c", "n", "--project", PROJECT)
                if "past" in listed:
                    rig.cluster.incus(first, "delete", "past", "--project", PROJECT)

    perform(test)
