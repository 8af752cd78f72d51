"""What is particular about buying from Vast.ai: its refusals, lost answers, stops, and accounts that are shared."""

from dataclasses import replace

import pytest

from berth.core.driver import (
    BadCredentials,
    DriverError,
    Launch,
    NoCapacity,
    NotSupported,
    OutcomeUnknown,
    Power,
    RateLimited,
    Refused,
    Unreachable,
)
from berth.drivers.vastai import VastaiDriver, sightings
from tests.drivers.vastai.faults import LIMITED, said
from tests.drivers.vastai.rig import KEY, VastaiRig
from tests.drivers.vastai.running import over, until

HTML = "<html>gateway</html>"
LONG_KEYS = ["ssh-rsa " + letter * 3000 for letter in "AB"]


# Creates.


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (410, '{"success": false, "error": "no_such_ask", "msg": "error 410/3907"}', NoCapacity),
        (
            404,
            '{"success": false, "error": "invalid_args", "msg": "error 404/3603: no_such_ask"}',
            NoCapacity,
        ),
        (400, '{"success": false, "error": "x", "msg": "no_such_ask 1"}', NoCapacity),
        (200, '{"success": false, "error": "no_such_ask", "msg": "gone"}', NoCapacity),
        (403, '{"success": false, "error": "invalid_args", "msg": "error 403/3586"}', NoCapacity),
        (404, '{"success": false, "error": "auth_error", "msg": "Invalid user key"}', BadCredentials),
        (403, '{"success": false, "error": "auth_error", "msg": "login"}', BadCredentials),
        (401, '{"success": false, "error": "auth_error", "msg": "login"}', BadCredentials),
        (401, HTML, BadCredentials),
        (400, '{"success": false, "error": "insufficient_credit", "msg": ""}', BadCredentials),
        (404, '{"success": false, "error": "insufficient_credit", "msg": ""}', BadCredentials),
        (400, '{"success": false, "error": "missing_billing", "msg": ""}', BadCredentials),
        (400, '{"success": false, "error": "invalid_args", "msg": "error 400/3467"}', Refused),
        (400, '{"success": false, "error": "invalid_price"}', Refused),
        (200, '{"success": false, "error": "invalid_price"}', Refused),
        (200, '{"success": true}', OutcomeUnknown),
        (200, '{"success": true, "new_contract": null}', OutcomeUnknown),
        (200, HTML, OutcomeUnknown),
        (200, "[]", OutcomeUnknown),
        (200, "[" * 100_000, OutcomeUnknown),
        (500, '{"error": "no_such_ask"}', OutcomeUnknown),
        (502, HTML, OutcomeUnknown),
        (504, "", OutcomeUnknown),
        (408, "", OutcomeUnknown),
        (302, "", Unreachable),
        *((status, body, RateLimited) for status, body, _, _ in LIMITED),
    ],
)
def test_a_refused_create_says_what_to_do_next(status: int, body: str, kind: type[DriverError]) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.answers.append(("PUT /api/v0/asks/", said(status, body)))
        with pytest.raises(DriverError) as refusal:
            await driver.create(rig.order())
        assert type(refusal.value) is kind
        assert not rig.service.contracts

    over(test)


@pytest.mark.parametrize("form", ["410", "404", "400"])
def test_an_offer_that_somebody_took_has_no_capacity_in_each_form(form: str) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        rig.service.faults.stale = form
        with pytest.raises(NoCapacity):
            await driver.create(order)
        await driver.create(order)
        with pytest.raises(NoCapacity):
            await driver.create(replace(order, label=rig.label()))
        assert len(rig.service.contracts) == 1

    over(test)


def test_what_is_made_although_it_was_refused_is_destroyed() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.low_bid = True
        order = rig.order(launch=Launch(bid_micros_per_hour=1000))
        with pytest.raises(NoCapacity):
            await driver.create(order)
        assert [each.is_there for each in rig.service.contracts.values()] == [False]
        rig.service.faults.answers.append(("DELETE /api/v0/instances/", said(502, HTML)))
        with pytest.raises(OutcomeUnknown):
            await driver.create(order)
        # It is found by its label then, and ended by whoever asked for it.
        found = await driver.inspect(order.label, None)
        assert found is not None
        assert found.power is Power.STOPPED

    over(test)


@pytest.mark.parametrize("fault", ["lost", "refused"])
def test_a_create_whose_answer_was_lost_is_resolved_by_its_label(fault: str) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        getattr(rig.service.faults, fault).append("PUT /api/v0/asks/")
        with pytest.raises(OutcomeUnknown):
            await driver.create(order)
        found = await driver.inspect(order.label, None)
        assert (found is None) == (fault == "refused")
        made = await driver.create(order)
        assert found is None or found.handle == made.handle
        assert len(rig.service.of_label(str(order.label))) == 1
        assert " ".join(KEY.split()[:2]) in rig.service.contracts[int(made.handle)].keys(0)

    over(test)


def test_a_create_is_sent_once_whatever_becomes_of_it() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        faults = rig.service.faults
        faults.answers += [("PUT /api/v0/asks/", said(502, HTML)), ("PUT /api/v0/asks/", said(500, ""))]
        for number in range(4):
            if number >= 2:
                # HTTP calls a PUT idempotent, and some libraries send it again by themselves.
                (faults.lost, faults.refused)[number % 2].append("PUT /api/v0/asks/")
            with pytest.raises(OutcomeUnknown):
                await driver.create(rig.order())
            assert rig.service.calls["create"] == number + 1

    over(test)


def test_a_new_instance_may_be_missing_for_a_while_as_abilities_say() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.lag_s = driver.abilities.appears_within_s - 1
        order = rig.order()
        handle = (await driver.create(order)).handle
        assert await driver.inspect(order.label, handle) is None
        assert not (await driver.list_own(rig.install_id)).sightings
        await rig.time.sleep(driver.abilities.appears_within_s)
        assert [each.handle for each in (await driver.list_own(rig.install_id)).sightings] == [handle]

    over(test)


def test_keys_that_had_to_be_attached_and_could_not_leave_nothing_behind() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order(ssh_public_keys=LONG_KEYS)
        rig.service.faults.answers.append(("POST /api/v0/instances/", said(502, HTML)))
        with pytest.raises(NoCapacity):
            await driver.create(order)
        assert not [each for each in rig.service.contracts.values() if each.is_there]
        made = await driver.create(order)
        contract = rig.service.contracts[int(made.handle)]
        assert contract.keys(rig.time.now()) == set(LONG_KEYS)

    over(test)


def test_a_template_is_looked_up_and_one_that_is_gone_is_refused() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        await driver.create(rig.order(launch=Launch(template="1" * 32)))
        _, body = rig.service.bodies[-1]
        assert body["template_hash_id"] == "1" * 32
        assert "image" not in body
        assert body["onstart"].endswith("entrypoint.sh &")
        with pytest.raises(Refused) as refusal:
            await driver.create(rig.order(launch=Launch(template="9" * 32)))
        assert refusal.value.reason

    over(test)


def test_ports_of_a_launch_are_told_once_they_are_mapped() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        launch = Launch("vllm/vllm-openai", ports=(8000,), is_entrypoint=True)
        order = rig.order(launch=launch)
        first = await driver.create(order)
        assert (first.power, first.ports) == (Power.CREATING, {})
        seen = await until(driver, order.label, Power.RUNNING)
        assert seen.ip == "127.0.0.1"
        assert (seen.ssh_port, set(seen.ports)) == (None, {8000})

    over(test)


def test_what_is_seen_of_an_instance_says_what_it_costs_and_how_busy_it_is() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        offer = await driver.offer(order.provider_offer_id)
        assert offer is not None
        await driver.create(order)
        seen = await until(driver, order.label, Power.RUNNING)
        assert seen.cost_micros_per_hour == offer.cost_micros_per_hour
        assert (seen.use_percent, seen.label, seen.ssh_user) == (37, order.label, "root")
        assert seen.created_at is not None
        assert abs(seen.created_at - rig.time.now()) < 60_000_000

    over(test)


# Stops, starts, ends.


def test_a_start_that_is_only_queued_has_no_capacity_and_leaves_the_queue() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        await until(driver, order.label, Power.RUNNING)
        await driver.stop(handle)
        await until(driver, order.label, Power.STOPPED)
        # Others have its hardware now: a stop gives it back.
        other = await driver.create(replace(order, label=rig.label()))
        with pytest.raises(NoCapacity):
            await driver.start(handle, order)
        assert rig.service.contracts[int(handle)].intended == "stopped"
        await driver.destroy(other.handle)
        await driver.start(handle, order)
        await until(driver, order.label, Power.RUNNING)

    over(test)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, '{"success": false, "error": "auth_error", "msg": "Invalid user key"}', BadCredentials),
        (404, HTML, Unreachable),
        (404, '{"success": false, "error": "something_else"}', Refused),
        (410, '{"success": false, "error": "deprecated_endpoint"}', Refused),
        (502, HTML, OutcomeUnknown),
        (429, "slow", RateLimited),
        (200, '{"success": false, "error": "busy"}', Refused),
    ],
)
def test_only_an_answer_that_says_so_means_that_it_is_gone(
    status: int, body: str, kind: type[DriverError]
) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        for call, verb in (
            ("DELETE", driver.destroy),
            ("PUT", driver.stop),
            ("PUT", driver.start),
            ("PUT", driver.restart),
        ):
            rig.service.faults.answers.append((f"{call} /api/v0/instances/", said(status, body)))
            with pytest.raises(DriverError) as refusal:
                await verb(handle)
            assert type(refusal.value) is kind
            await rig.time.sleep(10)
        assert rig.service.contracts[int(handle)].is_there

    over(test)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, '{"success": false, "error": "auth_error", "msg": "Invalid user key"}', BadCredentials),
        (404, HTML, Unreachable),
        (200, "{}", Unreachable),
        (200, '{"instances": {"id": 7}}', Unreachable),
        (200, '{"instances": []}', Unreachable),
        (200, HTML, Unreachable),
        (500, "", Unreachable),
    ],
)
def test_a_look_that_says_nothing_is_no_absence(status: int, body: str, kind: type[DriverError]) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        await rig.time.sleep(10)
        rig.service.faults.answers += [("GET /api/v0/instances/", said(status, body))] * 3
        with pytest.raises(kind):
            await driver.inspect(order.label, handle)
        rig.service.faults.answers.clear()
        await rig.time.sleep(10)
        assert await driver.inspect(order.label, handle) is not None

    over(test)


def test_gone_is_what_shows_as_null_or_by_the_code_of_the_error() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        for code in ("no_such_instance", "not_found"):
            answer = said(404, f'{{"success": false, "error": "{code}"}}')
            await rig.time.sleep(10)
            rig.service.faults.answers.append(("GET /api/v0/instances/", answer))
            assert await driver.inspect(order.label, handle) is None
        await driver.destroy(handle)
        await rig.time.sleep(10)
        assert await driver.inspect(order.label, handle) is None
        await driver.destroy(handle)
        await driver.stop(handle)

    over(test)


def test_a_destroy_whose_answer_was_lost_is_read_again() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        rig.service.faults.lost.append("DELETE /api/v0/instances/")
        await driver.destroy(handle)
        assert not rig.service.contracts[int(handle)].is_there
        other = (await driver.create(rig.order())).handle
        rig.service.faults.refused.append("DELETE /api/v0/instances/")
        with pytest.raises(OutcomeUnknown):
            await driver.destroy(other)
        with pytest.raises(NotSupported):
            await driver.destroy(other, keep_disk=True)
        assert rig.service.contracts[int(other)].is_there

    over(test)


def test_a_destroy_that_was_only_acknowledged_still_shows() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        rig.service.faults.ignores_destroy = 1
        await driver.destroy(handle)
        assert await driver.inspect(order.label, handle) is not None
        await driver.destroy(handle)
        assert await driver.inspect(order.label, handle) is None

    over(test)


def test_an_offline_host_takes_nothing_away() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        await until(driver, order.label, Power.RUNNING)
        await rig.service.happens(int(handle), "offline")
        seen = await driver.inspect(order.label, handle)
        assert seen is not None
        assert seen.power is Power.CREATING
        assert [each.handle for each in (await driver.list_own(rig.install_id)).sightings] == [handle]
        await rig.service.happens(int(handle), "online")
        await until(driver, order.label, Power.RUNNING)

    over(test)


def test_who_was_outbid_is_off() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order(is_spot=True, launch=Launch(bid_micros_per_hour=5_000_000))
        handle = (await driver.create(order)).handle
        await until(driver, order.label, Power.RUNNING)
        await rig.service.happens(int(handle), "outbid")
        seen = await driver.inspect(order.label, handle)
        assert seen is not None
        assert (seen.power, seen.reason) == (Power.STOPPED, sightings.OUTBID)

    over(test)


# Boots that fail.


def test_an_image_that_cannot_be_pulled_fails_the_boot() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.status_msg = (
            "Error response from daemon: manifest for x:y not found: manifest unknown"
        )
        order = rig.order()
        await driver.create(order)
        seen = await until(driver, order.label, Power.FAILED)
        assert seen.reason == sightings.PULL_FAILED
        assert not [call for call in rig.service.calls if "request_logs" in call]

    over(test)


@pytest.mark.parametrize("tries", [0, 3])
def test_a_container_that_ended_says_why_in_its_log_which_is_asked_for_once(tries: int) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.exits = "loading\nCUDA error: no kernel image is available\n"
        rig.service.faults.log_tries = tries
        order = rig.order()
        handle = (await driver.create(order)).handle
        seen = await until(driver, order.label, Power.FAILED)
        assert seen.reason == "The container's own command ended: CUDA error: no kernel image is available"
        assert await driver.inspect(order.label, handle) == seen
        assert [count for call, count in rig.service.calls.items() if "request_logs" in call] == [1]

    over(test)


def test_a_log_that_cannot_be_had_leaves_what_is_known() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.exits = "something"
        rig.service.faults.log_tries = 1000
        order = rig.order()
        await driver.create(order)
        assert (await until(driver, order.label, Power.FAILED)).reason == sightings.EXITED

    over(test)
