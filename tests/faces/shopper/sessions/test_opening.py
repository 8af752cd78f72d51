"""Taking a session over the wire: what is accepted, what is refused and in which order, and what is told once."""

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from berth.base.db import Database, DatabaseUnavailable
from berth.base.readiness import Readiness
from berth.core.errors import Unavailable
from berth.faces.shopper.sessions import opening
from tests import make
from tests.faces.shopper.conftest import HASH_ID, refused
from tests.faces.shopper.sessions.conftest import BODY, Desk
from tests.renting import OFFER, keys


class Flaky:
    """A database that answers until it breaks down."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._is_away = False

    def break_down(self) -> None:
        self._is_away = True

    def __getattr__(self, name: str) -> Any:
        if self._is_away and name in {"read", "write"}:
            raise DatabaseUnavailable("gone")
        return getattr(self._db, name)


def rows(desk: Desk) -> int:
    found = desk.db.read_now(lambda tx: tx.one("SELECT COUNT(*) FROM sessions"))
    return found[0] if found else 0


@pytest.mark.parametrize("member", ["consumer_id", "offer_id", "workload_type", "reservation_hours"])
async def test_each_required_member_is_missed_by_name(desk: Desk, member: str) -> None:
    body = {name: value for name, value in BODY.items() if name != member}
    assert refused(await desk.client.post("/api/v1/sessions", body), 400)["error"] == f"{member} is required"


async def test_all_that_is_wrong_is_said_at_once(desk: Desk) -> None:
    problem = refused(await desk.client.post("/api/v1/sessions", {}), 400)
    assert problem["error"] == (
        "consumer_id is required; offer_id is required; workload_type is required; reservation_hours is required"
    )
    problem = refused(
        await desk.create(reservation_hours=13, disk_gb=-1, workload_type="mining", retry_scope="none"), 400
    )
    for part in (
        "reservation_hours must be at most 12 (got 13)",
        "disk_gb must be at least 0 (got -1)",
        "workload_type must be one of llm, llm_vllm, llm_tgi, training, batch",
        "(got mining)",
        "retry_scope must be one of same_gpu, same_vram, any (got none)",
    ):
        assert part in problem["error"]
    assert problem["error"].count("; ") == 3
    assert rows(desk) == 0


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"reservation_hours": 0}, "reservation_hours must be at least 1 (got 0)"),
        ({"reservation_hours": 13}, "reservation_hours must be at most 12 (got 13)"),
        ({"reservation_hours": -5}, "reservation_hours must be at least 1 (got -5)"),
        ({"reservation_hours": 1.5}, 'reservation_hours must be a whole number, got "1.5"'),
        ({"reservation_hours": "2"}, 'reservation_hours must be a whole number, got "2"'),
        ({"reservation_hours": 10**30}, "reservation_hours"),
        ({"consumer_id": 7}, 'consumer_id must be a string, got "7"'),
        ({"consumer_id": ""}, "consumer_id is required"),
        ({"consumer_id": "x" * 129}, "consumer_id must be at most 128 characters (got 129)"),
        ({"consumer_id": "a\x1b[31mb"}, "consumer_id must hold printable characters only"),
        ({"workload_type": "LLM"}, "workload_type must be one of"),
        ({"idle_threshold_minutes": -1}, "idle_threshold_minutes must be at least 0 (got -1)"),
        ({"disk_gb": 20_000}, "disk_gb must be at most 16384 (got 20000)"),
        ({"exposed_ports": [0]}, "exposed_ports must be at least 1 (got 0)"),
        ({"exposed_ports": [65536]}, "exposed_ports must be at most 65535 (got 65536)"),
        ({"exposed_ports": 8000}, 'exposed_ports must be an array, got "8000"'),
        ({"exposed_ports": list(range(1, 18))}, "exposed_ports must be at most 16 ports (got 17)"),
        ({"auto_retry": "yes"}, 'auto_retry must be true or false, got "yes"'),
        ({"max_retries": -1}, "max_retries must be at least 0 (got -1)"),
        ({"retry_scope": "cheapest"}, "retry_scope must be one of same_gpu, same_vram, any (got cheapest)"),
        ({"ssh_timeout_minutes": -1}, "ssh_timeout_minutes must be at least 0 (got -1)"),
    ],
)
async def test_a_wrong_value_is_a_400_that_names_it_the_rule_and_what_came(
    desk: Desk, members: dict[str, Any], says: str
) -> None:
    refused(await desk.create(**members), 400, says)
    assert rows(desk) == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"consumer_id": ', b"\xff\xfe", b"null"])
async def test_a_body_that_is_none_is_a_400(desk: Desk, body: bytes) -> None:
    refused(await desk.client.post("/api/v1/sessions", body), 400)


@pytest.mark.parametrize(
    "members",
    [
        {"storage_policy": "whatever"},
        {"launch_mode": "whatever"},
        {"max_retries": 50},
        {"ssh_timeout_minutes": 500},
        {"unknown": {"member": 1}},
        {"reservation_hours": 1},
        {"reservation_hours": 12},
    ],
)
async def test_what_is_lenient_is_accepted(desk: Desk, members: dict[str, Any]) -> None:
    assert (await desk.create(**members)).status == 201


async def test_messages_repeat_what_came_without_anything_that_acts(desk: Desk) -> None:
    problem = refused(await desk.create(workload_type="<script>\x1b[2J\u202e" + "y" * 500), 400)
    assert not set(problem["error"]) & set("<>\x1b\u202e")
    assert len(problem["error"]) < 300
    problem = refused(await desk.create(reservation_hours="<b>\x07" + "9" * 500), 400)
    assert not set(problem["error"]) & set("<>\x07")
    assert len(problem["error"]) < 300
    refused(
        await desk.create(offer_id="sandbox-<b>\x1b"), 400, "offer_id must hold printable characters only"
    )


async def test_checks_come_in_their_order(desk: Desk) -> None:
    refused(await desk.create(offer_id="vastai-99999", reservation_hours=0), 400, "reservation_hours")
    refused(
        await desk.create(offer_id="vastai-99999", disk_gb=20, model_id="x/y-70b"), 404, "offer not found"
    )
    await desk.created()
    refused(await desk.create(disk_gb=20, model_id="x/y-70b"), 409)


@pytest.mark.parametrize(
    "offer_id", ["vastai-99999", "nobody-12345", "12345", "-", "vastai-", "vastai 12345", "é"]
)
async def test_an_offer_that_nobody_has_is_a_404(desk: Desk, offer_id: str) -> None:
    refused(await desk.create(offer_id=offer_id), 404, "offer not found")


async def test_a_disk_that_is_too_small_comes_with_its_breakdown(desk: Desk) -> None:
    response = await desk.create(
        disk_gb=50, model_id="meta-llama/Llama-3.1-70B-Instruct", quantization="fp16"
    )
    problem = refused(response, 400, "disk_gb")
    assert problem["error_type"] == "insufficient_disk"
    assert (problem["requested_gb"], problem["minimum_gb"], problem["recommended_gb"]) == (50, 225, 270)
    assert problem["breakdown"] == {
        "model_weight_gb": 140,
        "download_buffer_gb": 70,
        "docker_image_gb": 10,
        "system_overhead_gb": 5,
        "minimum_gb": 225,
        "recommended_gb": 270,
        "model_id": "meta-llama/Llama-3.1-70B-Instruct",
        "quantization": "fp16",
        "param_count_b": 70,
    }
    assert rows(desk) == 0


async def test_without_a_size_the_disk_is_as_large_as_is_recommended(desk: Desk) -> None:
    assert (await desk.created(model_id="x/tiny-7b-awq"))["disk_gb"] == 30
    assert (await desk.created(offer_id="vastai-12346"))["disk_gb"] == 50


async def test_the_same_consumer_gets_an_offer_once(desk: Desk) -> None:
    first = await desk.created()
    refused(await desk.create(), 409, first["id"])
    await desk.client.delete(f"/api/v1/sessions/{first['id']}")
    desk.gone(first["id"])
    assert (await desk.create()).status == 201


async def test_of_two_creates_side_by_side_one_is_made(desk: Desk) -> None:
    make.catalogue(
        desk.db,
        make.offer("1RTX4090.24V", name="12345", gpu_model="RTX 4090", gpu_vram_gb=24, price="0.45", free=5),
        provider="vastai",
    )
    answers = await asyncio.gather(
        *(client.post("/api/v1/sessions", BODY) for client in (desk.client, desk.other) * 4)
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    assert rows(desk) == 1


async def test_of_two_consumers_one_gets_the_last_unit(desk: Desk) -> None:
    answers = await asyncio.gather(
        *(
            client.post("/api/v1/sessions", {**BODY, "consumer_id": f"consumer-{number}"})
            for number, client in enumerate((desk.client, desk.other) * 2)
        )
    )
    assert sorted(answer.status for answer in answers) == [201, 503, 503, 503]
    assert {answer.json["error_type"] for answer in answers if answer.status == 503} == {"stale_inventory"}
    assert rows(desk) == 1


@pytest.mark.parametrize(
    ("reason", "error_type", "is_worth_a_retry"),
    [
        ("provider_unreachable", "provider_unavailable", True),
        ("refused: That image is not there.", "invalid_request", False),
        ("boot_failed: It did not come up.", "provision_failed", True),
        ("instance_stopped", "instance_stopped", True),
        ("provisioning_timeout", "ssh_timeout", True),
        ("login_refused", "ssh_timeout", True),
    ],
)
async def test_a_create_that_failed_is_a_500_with_its_type(
    desk: Desk, reason: str, error_type: str, is_worth_a_retry: bool
) -> None:
    desk.provider.reason = reason
    problem = refused(await desk.create(), 500)
    assert (problem["error_type"], problem["retry_suggested"]) == (error_type, is_worth_a_retry)
    failed = await desk.session(problem["session_id"])
    assert (failed["status"], bool(failed["error"])) == ("failed", True)
    assert (await desk.client.get("/api/v1/costs", session_id=problem["session_id"])).json["total_cost"] == 0


async def test_it_goes_to_another_offer_where_that_was_asked_for(desk: Desk) -> None:
    desk.provider.reason, desk.provider.is_sold_out, desk.provider.fails = "no_capacity", True, 1
    response = await desk.create(auto_retry=True)
    assert response.status == 201
    assert response.json["retries_attempted"] == 1
    session = response.json["session"]
    members = ("status", "auto_retry", "retry_count", "failed_offers", "price_per_hour", "provider")
    assert [session[name] for name in members] == ["provisioning", True, 1, OFFER, 0.5, "vastai"]


async def test_with_no_offer_left_it_is_stale_all_the_same(desk: Desk) -> None:
    desk.provider.reason, desk.provider.is_sold_out = "no_capacity", True
    problem = refused(await desk.create(auto_retry=True), 503)
    assert (problem["error_type"], problem["offer_id"]) == ("stale_inventory", OFFER)
    (failed,) = (await desk.client.get("/api/v1/sessions")).json["sessions"]
    assert (failed["status"], failed["failed_offers"]) == ("failed", "vastai-12345,vastai-12346")


async def test_a_template_has_to_be_one_of_the_offer_s_provider(desk: Desk) -> None:
    refused(await desk.create(template_hash_id="0" * 32), 404, "template")
    on_tensordock = await desk.create(offer_id="tensordock-a1", template_hash_id=HASH_ID)
    refused(on_tensordock, 400, "template_hash_id")
    assert (await desk.created(template_hash_id=HASH_ID))["template_name"] == "Ollama"
    assert rows(desk) == 1


async def test_an_entrypoint_has_no_login(desk: Desk) -> None:
    session = await desk.created(launch_mode="entrypoint", workload_type="llm_vllm", model_id="x/y-7b")
    assert (session["launch_mode"], session["model_id"]) == ("entrypoint", "x/y-7b")
    assert {"ssh_host", "ssh_port", "ssh_user", "api_endpoint"}.isdisjoint(session)


async def test_it_waits_for_a_provider_that_takes_its_time(desk: Desk) -> None:
    def wake(loop: str) -> None:
        asyncio.get_running_loop().call_soon(desk.provider.wake, loop)

    client = desk.broker.under(poke=wake, session_wait_s=30)
    response = await client.post("/api/v1/sessions", BODY)
    assert (response.status, response.json["session"]["status"]) == (201, "provisioning")
    assert response.json["session"]["ssh_host"] == "192.0.2.7"


async def test_without_an_outcome_in_time_it_is_a_201_of_what_is_pending(desk: Desk) -> None:
    desk.provider.is_silent = True
    response = await desk.create()
    assert response.status == 201
    session = response.json["session"]
    assert session["status"] == "pending"
    assert "ssh_host" not in session
    assert response.json["ssh_private_key"] == keys().private_pem


async def test_while_it_drains_nobody_is_kept_waiting(desk: Desk) -> None:
    readiness = Readiness()
    client = desk.broker.under(poke=lambda _: readiness.drain(), session_wait_s=30, readiness=readiness)
    response = await asyncio.wait_for(client.post("/api/v1/sessions", BODY), 10)
    assert (response.status, response.json["session"]["status"]) == (201, "pending")
    assert response.json["ssh_private_key"] == keys().private_pem


async def test_a_database_that_goes_away_meanwhile_takes_no_key_with_it(desk: Desk) -> None:
    """The order is durable, and nobody could get the key of what is paid for again."""
    flaky = Flaky(desk.db)
    client = desk.broker.under(db=flaky, poke=lambda _: flaky.break_down())
    response = await client.post("/api/v1/sessions", BODY, idempotency_key="a")
    assert (response.status, response.json["session"]["status"]) == (201, "pending")
    assert response.json["ssh_private_key"] == keys().private_pem
    again = await desk.client.post("/api/v1/sessions", BODY, idempotency_key="a")
    assert again.json["session"] == response.json["session"]
    assert "ssh_private_key" not in again.json


async def test_who_cannot_pay_is_told_so(desk: Desk) -> None:
    make.topup(desk.db, desk.broker.customer.by, "-495")
    problem = refused(await desk.create(), 402)
    assert (problem["error_type"], problem["retry_suggested"]) == ("insufficient_credit", False)
    assert rows(desk) == 0


async def test_too_many_at_once_are_sent_away_instead_of_queued() -> None:
    makers = opening.KeyMakers(threads=1, waiting=0)
    with pytest.raises(Unavailable):
        await asyncio.gather(makers.make(keys), makers.make(keys))
    assert await makers.make(keys) == keys()


async def test_the_key_is_told_once_and_kept_nowhere(desk: Desk) -> None:
    with capture_logs() as logs:
        first = await desk.client.post("/api/v1/sessions", BODY, idempotency_key="a")
        again = await desk.client.post("/api/v1/sessions", BODY, idempotency_key="a")
    assert first.json["ssh_private_key"] == keys().private_pem
    assert again.status == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json["session"] == first.json["session"]
    assert "told once" in again.json["note"]
    assert {"ssh_private_key", "agent_token"}.isdisjoint(again.json)
    assert rows(desk) == 1
    everything = json.dumps(desk.db.read_now(_everything), default=str) + str(logs)
    middle = keys().private_pem.splitlines()[10]
    assert middle not in everything
    assert first.json["agent_token"] not in everything
    assert keys().public_line.split()[1] in everything
    assert first.json["agent_token"] not in (await desk.client.get("/api/v1/sessions")).content.decode()


async def test_a_failed_create_frees_its_idempotency_key(desk: Desk) -> None:
    desk.provider.reason = "provider_unreachable"
    refused(await desk.client.post("/api/v1/sessions", BODY, idempotency_key="a"), 500)
    desk.provider.reason = None
    assert (await desk.client.post("/api/v1/sessions", BODY, idempotency_key="a")).status == 201
    other = {**BODY, "reservation_hours": 3}
    refused(await desk.client.post("/api/v1/sessions", other, idempotency_key="a"), 409)


def _everything(tx: Any) -> list[Any]:
    """Every value of every table that a session is written to."""
    tables = ("sessions", "instances", "events", "idempotency_records", "observers", "entries")
    return [row for table in tables for row in tx.all(f"SELECT * FROM {table}")]
