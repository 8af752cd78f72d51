"""What an operator's instruments read: what happened, and what stands, under the names that they know."""

from berth.base.meters import CONTENT_TYPE
from berth.base.money import USD
from berth.core import billing, catalog, sessions
from berth.core.catalog import FailureKind
from berth.core.driver import Label, Power, Sighting
from berth.core.instances import report_orphan
from berth.faces import huddle
from tests import make
from tests.base.test_meters import samples
from tests.conftest import FakeClock
from tests.core import rented
from tests.faces.conftest import Client
from tests.faces.shopper.conftest import Broker, refused


async def read(broker: Broker) -> dict[tuple[str, ...], float]:
    response = await broker.client.get("/metrics")
    assert response.status == 200
    assert response.headers["content-type"] == CONTENT_TYPE.decode()
    return samples(response.content)


async def test_requests_are_counted_by_the_pattern_of_their_path_over_all_faces(broker: Broker) -> None:
    retail = Client(huddle.build(broker.context), broker.customer.api_key)
    await broker.client.get("/api/v1/inventory/vastai-12345")
    await broker.client.get("/api/v1/inventory/nobody-1")
    await broker.client.get("/api/v1/inventory/a/b/c")
    await broker.client.post("/health")
    await broker.client.get("/api/v1/inventory/docs")
    await retail.get("/gpus/available/nothing")
    await retail.get("/nothing")
    await retail.with_key(None).get("/gpus/available")
    nested = Client(huddle.build(broker.context, is_nested=True), broker.customer.api_key, "/hudl/api/v1")
    await nested.get("/images")
    found = await read(broker)
    counted = {key[1:]: value for key, value in found.items() if key[0] == "http_requests_total"}
    assert counted == {
        ("GET", "/api/v1/inventory/{id}", "200"): 1,
        ("GET", "/api/v1/inventory/{id}", "404"): 1,
        ("GET", "unmatched", "404"): 2,
        ("POST", "unmatched", "405"): 1,
        ("GET", "/api/v1/inventory/docs", "200"): 1,
        ("GET", "/api/v1/gpus/available/{instance_type}", "404"): 1,
        ("GET", "/api/v1/gpus/available", "401"): 1,
        ("GET", "/hudl/api/v1/images", "200"): 1,
    }
    assert (await read(broker))["http_requests_total", "GET", "/metrics", "200"] == 1


async def test_what_stands_in_the_database_is_read_when_it_is_asked_for(
    broker: Broker, clock: FakeClock
) -> None:
    make.catalogue(broker.db, make.offer())
    make.instance(broker.db, "running", broker.customer.by)
    make.instance(broker.db, "running", broker.customer.by)
    make.instance(broker.db, "provisioning", broker.customer.by)
    make.instance(broker.db, "deleted", broker.customer.by)
    ending = make.instance(broker.db, "deleting", broker.customer.by)
    sighting = Sighting(
        Label("i", ending.id), "h", Power.RUNNING, created_at=clock.now(), cost_micros_per_hour=3_000_000
    )
    broker.db.write_now(report_orphan, make.PROVIDER, sighting)
    clock.advance(seconds=1200)
    found = await read(broker)
    assert found["berth_instances", make.PROVIDER, "running"] == 2
    assert found["berth_instances", make.PROVIDER, "deleting"] == 1
    assert found["berth_endings_late",] == 1
    assert found["berth_orphans",] == 1
    assert found["berth_orphans_cost_usd",] == 1
    assert found["berth_instances_due",] >= 1
    assert found["berth_outbox_waiting",] == 0
    assert found["berth_waitlist_waiting",] == 0
    assert found["berth_deliveries_waiting", "ready"] == 0
    assert found["berth_projects_owing",] == 0
    assert 0 < found["berth_balances_usd",] <= 500


async def test_sessions_that_have_not_ended_are_counted_apart_from_other_instances(
    broker: Broker, clock: FakeClock
) -> None:
    make.catalogue(broker.db, make.offer(free=8))
    make.instance(broker.db, "running", broker.customer.by)
    made = [
        make.session(broker.db, broker.customer.by, consumer_id=f"c{number}").session for number in range(3)
    ]
    for session in made[1:]:
        rented.running(broker.db, session)
    clock.advance(seconds=60)
    price = made[0].price
    assert (await read(broker))["gpu_cost_accrued_usd", make.PROVIDER] == 2 * billing.total(price, 60) / USD
    broker.db.write_now(sessions.destroy, broker.customer.by, made[2].id, broker.context.rules)
    broker.db.write_now(sessions.retire, limit=10)
    found = await read(broker)
    assert {key[1:]: value for key, value in found.items() if key[0] == "gpu_sessions_active"} == {
        (make.PROVIDER, "pending"): 1,
        (make.PROVIDER, "running"): 1,
        (make.PROVIDER, "stopping"): 1,
    }


async def test_it_is_the_operator_s(broker: Broker) -> None:
    refused(await broker.closed.get("/metrics"), 401)
    refused(await broker.closed.with_key(broker.customer.api_key).get("/metrics"), 403, "scope admin")


async def test_offers_that_failed_are_told(broker: Broker, clock: FakeClock) -> None:
    make.catalogue(broker.db, make.offer())
    [(offer_id,)] = broker.db.read_now(lambda tx: tx.all("SELECT id FROM offers"))
    for _ in range(3):
        broker.db.write_now(
            catalog.note_offer_failure, offer_id, FailureKind.SSH_TIMEOUT, "No <b>answer</b>."
        )
    response = await broker.client.get("/api/v1/offer-health")
    assert response.json == {
        "offers": [
            {
                "offer_id": f"{make.PROVIDER}-{make.H100}@FIN-01",
                "provider": make.PROVIDER,
                "gpu_type": "H100",
                "recent_failures": 3,
                "is_suppressed": True,
                "suppressed_at": "2026-04-03T10:00:00Z",
                "suppressed_until": "2026-04-03T10:30:00Z",
                "confidence_multiplier": 0.0,
                "last_failure": "2026-04-03T10:00:00Z",
                "last_failure_type": "ssh_timeout",
                "last_failure_reason": "No banswer/b.",
            }
        ],
        "gpu_types": [
            {
                "gpu_type_key": f"{make.PROVIDER}:H100",
                "failed_offer_count": 1,
                "is_degraded": False,
                "degradation_applied": 1.0,
            }
        ],
        "count": 1,
    }
    for query in ({"provider": "vastai"}, {"gpu_type": "h100"}):
        assert (await broker.client.get("/api/v1/offer-health", **query)).json["count"] == 0
    refused(await broker.client.get("/api/v1/offer-health", provider="x"), 400, "provider not found: x")
    response = await broker.client.get("/api/v1/offer-health", gpu_type="y" * 300)
    refused(response, 400, "gpu_type must have at most 255 characters")
