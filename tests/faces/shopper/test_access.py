"""Who gets in: on this host anybody, by a name of this host; from elsewhere, and from pages of others, only with a key."""

from pathlib import Path
from typing import Any

import pytest

from berth import app
from berth.core import events
from berth.core.events import ADMIN
from berth.faces import shopper
from berth.faces.face import Edge, Face, Policy, Route, parse_networks
from berth.faces.shopper import access, envelope, errors
from berth.settings import Server, Settings, SettingsError
from berth.settings import Shopper as Chosen
from tests import make
from tests.faces.shopper.conftest import Broker, Shopper, refused


def asks(broker: Broker, scope: str = "deployments:write", **members: Any) -> Shopper:
    """An API of one route that tells who asks."""
    route = Route(
        method="POST",
        path="/x",
        handler=lambda tx, call: {"project": call.by.project, "key": call.by.key_id},
        summary="",
        scope=scope,
        answer=None,
    )
    face = Face(
        name="test",
        routes=[route],
        authenticate=access.authenticate,
        render=envelope.render,
        refuse=errors.refuse,
        takes_any_type=True,
    )
    client = broker.under(**members)
    client.app = Edge(client.app._context, face)
    return client


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "localhost."]
)
async def test_on_this_host_anybody_acts_for_the_open_project(
    broker: Broker, address: str, host: str
) -> None:
    response = await asks(broker).at(address).post("/x", host=host)
    assert response.json == {"project": broker.customer.id, "key": "loopback"}


@pytest.mark.parametrize(
    "address", ["192.0.2.10", "10.0.0.1", "::ffff:192.0.2.1", "fe80::1", "0.0.0.0", None]
)
async def test_from_elsewhere_a_key_is_needed(broker: Broker, address: str | None) -> None:
    client = asks(broker).at(address)
    refused(await client.post("/x"), 401, "API key")
    answer = await client.with_key(broker.customer.api_key).post("/x")
    assert answer.json["project"] == broker.customer.id


@pytest.mark.parametrize(
    "host", ["attacker.example:8080", "127.0.0.1.attacker.example", "10.0.0.1", "", "]", "a@b"]
)
async def test_a_name_that_was_made_to_mean_this_host_opens_nothing(broker: Broker, host: str) -> None:
    refused(await asks(broker).post("/x", host=host), 401, "API key")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://attacker.example"},
        {"origin": "https://127.0.0.1:8080"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "null"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:8080", "sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/json"]
)
async def test_a_page_of_another_origin_cannot_write(
    broker: Broker, headers: dict[str, str], media_type: str
) -> None:
    response = await asks(broker).call(
        "POST", "/x", body="{}", headers={"content-type": media_type, **headers}
    )
    refused(response, 403, "another origin")


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}],
)
async def test_what_is_no_page_or_one_of_our_own_can(broker: Broker, headers: dict[str, str]) -> None:
    assert (await asks(broker).call("POST", "/x", headers=headers)).status == 200


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip"])
async def test_what_somebody_passed_on_is_not_from_here(broker: Broker, name: str) -> None:
    """A proxy on this host that nobody told us of."""
    response = await asks(broker).call("POST", "/x", headers={name: "127.0.0.1"})
    refused(response, 401, "API key")


async def test_behind_a_trusted_proxy_it_is_the_client_that_counts(broker: Broker) -> None:
    policy = Policy(open_project=broker.customer.name, trusted_proxies=parse_networks("127.0.0.1"))
    client = asks(broker, policy=policy)
    for forwarded in ("192.0.2.7", "127.0.0.1, 192.0.2.7", "nonsense, 192.0.2.7"):
        refused(await client.post("/x", x_forwarded_for=forwarded), 401, "API key")
    assert (await client.post("/x", x_forwarded_for="127.0.0.1")).status == 200


async def test_a_key_that_is_sent_is_who_asks_also_where_none_is_needed(broker: Broker) -> None:
    client = asks(broker)
    other = make.project(broker.db)
    for headers in ({"x-api-key": other.api_key}, {"authorization": f"Bearer {other.api_key}"}):
        assert (await client.call("POST", "/x", headers=headers)).json["project"] == other.id
    for key in ("mk_" + "0" * 64, "nonsense", ""):
        refused(await client.call("POST", "/x", headers={"x-api-key": key}), 401)


async def test_scopes_hold_for_keys_and_everything_is_allowed_on_this_host(broker: Broker) -> None:
    _, reading = make.key(broker.db, broker.customer.by, scopes=["read_only"])
    refused(await asks(broker).with_key(reading).post("/x"), 403, "scope deployments:write")
    refused(await asks(broker, ADMIN).with_key(broker.customer.api_key).post("/x"), 403, "scope admin")
    assert (await asks(broker, ADMIN).post("/x")).status == 200
    _, operating = make.key(broker.db, events.operator(broker.customer.id), scopes=[ADMIN])
    assert (await asks(broker, ADMIN).with_key(operating).at("192.0.2.1").post("/x")).status == 200


async def test_without_the_open_project_a_key_is_needed(broker: Broker) -> None:
    refused(await asks(broker, policy=Policy(open_project="gone")).post("/x"), 401, "'gone'")
    refused(await asks(broker, policy=Policy()).post("/x"), 401, "API key")


@pytest.mark.parametrize(
    ("host", "chosen", "is_open"),
    [
        ("127.0.0.1", "auto", True),
        ("127.1.2.3", "open", True),
        ("::1", "auto", True),
        ("localhost", "open", True),
        ("127.0.0.1", "key", False),
        ("0.0.0.0", "auto", False),
        ("::", "auto", False),
        ("10.0.0.5", "key", False),
        ("berth.example", "auto", False),
    ],
)
def test_it_is_open_where_only_this_host_reaches_it(
    tmp_path: Path, host: str, chosen: Any, is_open: bool
) -> None:
    settings = Settings(data_dir=tmp_path, server=Server(host=host), shopper=Chosen(access=chosen))
    process = app.build(settings)
    try:
        assert process.context.policy.open_project == ("default" if is_open else None)
    finally:
        process.database.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "192.0.2.1", "berth.example", ""])
def test_it_does_not_start_open_where_others_reach_it(tmp_path: Path, host: str) -> None:
    settings = Settings(data_dir=tmp_path, server=Server(host=host), shopper=Chosen(access="open"))
    with pytest.raises(SettingsError, match=r"shopper\.access"):
        app.build(settings)


def test_these_routes_and_no_others_are_open_to_anybody() -> None:
    """Whoever sends requests here must be able to see whether to. A program in a session has its token, and no key."""
    public = {route.path for route in shopper.ROUTES if route.is_public}
    assert public - {"/api/v1/sessions/{id}/heartbeat"} == {"/health", "/ready"}
