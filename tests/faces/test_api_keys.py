"""API keys over the retail API: changed, rotated, bound to networks, and never the way out for good."""

from typing import Any

import pytest

from berth.core import projects
from berth.faces.face import KnownKeys, Policy, parse_networks
from tests.faces.conftest import Client, Shop


async def created(shop: Shop, **members: Any) -> tuple[dict[str, Any], Client]:
    """A key and who calls with it."""
    made = (await shop.client.post("/api-keys", members)).data
    return made, shop.client.with_key(made["secret"])


async def test_a_key_has_every_member(shop: Shop) -> None:
    made, _ = await created(shop, name="ci", allowed_cidrs=["192.0.2.0/24", "2001:db8::/32", "192.0.2.0/24"])
    assert made | {"id": "", "prefix": "", "secret": ""} == {
        "id": "",
        "name": "ci",
        "prefix": "",
        "secret": "",
        "scopes": ["*"],
        "description": None,
        "allowed_cidrs": ["192.0.2.0/24", "2001:db8::/32"],
        "created_by": f"ak_{shop.customer.by.key_id}",
        "created_at": "2026-04-03T10:00:00Z",
        "last_used_at": None,
        "last_used_ip": None,
        "expires_at": None,
        "revoked_at": None,
        "rotated_from": None,
        "rotated_to": None,
    }
    first = (await shop.client.get(f"/api-keys/{shop.customer.by.key_id}")).data
    assert first["created_by"] == "operator"


@pytest.mark.parametrize(
    ("cidrs", "address", "is_let_in"),
    [
        (["192.0.2.0/24"], "192.0.2.77", True),
        (["192.0.2.0/24"], "192.0.3.1", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["192.0.2.0/24"], "::ffff:192.0.2.7", True),
        (["2001:db8::/32"], "2001:db8:1::5", True),
        (["2001:db8::/32"], "2001:db9::5", False),
        (["2001:db8::/32", "10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], None, False),
        (["10.0.0.0/8"], "no address", False),
        ([], None, True),
    ],
)
async def test_a_key_works_from_its_networks_only(
    shop: Shop, cidrs: list[str], address: str | None, is_let_in: bool
) -> None:
    _, client = await created(shop, allowed_cidrs=cidrs)
    for _ in range(2):  # known by now, or not
        response = await client.at(address).get("/regions")
        if is_let_in:
            assert response.status == 200
        else:
            assert response.refused(403, "ip_not_allowed")["code"] == "FORBIDDEN"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (None, "198.51.100.1"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 192.0.2.7, 198.51.100.2", "192.0.2.7"),
        ("192.0.2.7, nonsense", "198.51.100.1"),
        ("nonsense, 192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", "198.51.100.1"),
    ],
)
async def test_a_trusted_proxy_says_where_a_request_comes_from(
    shop: Shop, forwarded: str | None, address: str
) -> None:
    made, _ = await created(shop)
    known_keys = KnownKeys()
    proxies = Policy(trusted_proxies=parse_networks("198.51.100.0/24, 10.0.0.0/8"))
    client = shop.under(policy=proxies, known_keys=known_keys)
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    proxied = client.with_key(made["secret"]).at("198.51.100.1")
    assert (await proxied.call("GET", "/regions", headers=headers)).status == 200
    await known_keys.settle()
    assert (await shop.client.get(f"/api-keys/{made['id']}")).data["last_used_ip"] == address


async def test_nobody_else_says_where_a_request_comes_from(shop: Shop) -> None:
    _, client = await created(shop, allowed_cidrs=["192.0.2.7"])
    headers = {"x-forwarded-for": "192.0.2.7"}
    response = await client.at("203.0.113.9").call("GET", "/regions", headers=headers)
    assert response.refused(403, "ip_not_allowed")["details"] == {"ip": "203.0.113.9"}
    proxied = shop.under(policy=Policy(trusted_proxies=parse_networks("198.51.100.0/24")))
    response = await proxied.with_key(client.key).at("203.0.113.9").call("GET", "/regions", headers=headers)
    response.refused(403, "ip_not_allowed")


async def test_a_key_is_renamed_narrowed_and_given_an_end(shop: Shop) -> None:
    made, client = await created(shop, name="ci", description="old")
    path = f"/api-keys/{made['id']}"
    assert (await client.get("/billing/balance")).status == 200
    changed = (
        await shop.client.put(path, {"name": "cd", "scopes": ["deployments:write"], "expires_in_days": 1})
    ).data
    assert changed == {k: v for k, v in made.items() if k != "secret"} | {
        "name": "cd",
        "scopes": ["deployments:write"],
        "expires_at": "2026-04-04T10:00:00Z",
        "last_used_at": changed["last_used_at"],
        "last_used_ip": changed["last_used_ip"],
    }
    (await client.get("/billing/balance")).refused(403, "missing_scope")
    assert (await client.get("/deployments")).status == 200
    assert (await shop.client.put(path, {"expires_at": None, "description": None})).data["expires_at"] is None
    assert (await shop.client.put(path, {})).data["name"] == "cd"
    await shop.client.put(path, {"allowed_cidrs": ["10.0.0.0/8"]})
    (await client.get("/deployments")).refused(403, "ip_not_allowed")
    await shop.client.put(path, {"allowed_cidrs": None})
    assert (await client.get("/deployments")).status == 200
    shop.clock.advance(seconds=3600)
    (await shop.client.put(path, {"expires_at": "2026-04-03T10:30:00Z"})).refused(400, "invalid_field")


async def test_scopes_are_never_widened(shop: Shop) -> None:
    made, _ = await created(shop, scopes=["deployments:write", "catalog:read"])
    path = f"/api-keys/{made['id']}"
    for scopes in (["*"], ["full"], ["deployments:write", "billing:read"], ["read_only"], ["admin"], []):
        problem = (await shop.client.put(path, {"scopes": scopes})).refused(400, "invalid_field")
        assert problem["details"]["field"] == "scopes"
    assert (await shop.client.put(path, {"scopes": ["deployments:read"]})).status == 200


async def test_the_way_back_in_is_never_closed_unless_forced(shop: Shop) -> None:
    path = f"/api-keys/ak_{shop.customer.by.key_id}"
    await created(shop, scopes=["deployments:write"])
    for change in ({"scopes": ["deployments:write"]}, {"expires_in_days": 1}):
        (await shop.client.put(path, change)).refused(409, "last_key")
    (await shop.client.delete(path)).refused(409, "last_key")
    assert (await shop.client.put(path, {"scopes": ["api_keys:write"]})).status == 200
    assert (await shop.client.put(path + "?force=true", {"expires_in_days": 1})).status == 200


async def test_a_key_that_ends_is_no_way_back_in(shop: Shop) -> None:
    """Two could make keys, and the one without an end goes: the project would be locked out later."""
    path = f"/api-keys/ak_{shop.customer.by.key_id}"
    await created(shop, expires_in_days=1)
    (await shop.client.delete(path)).refused(409, "last_key")
    (await shop.client.put(path, {"expires_in_days": 2})).refused(409, "last_key")
    await created(shop)
    assert (await shop.client.delete(path)).status == 200


async def test_a_rotated_key_works_on_for_its_overlap(shop: Shop) -> None:
    made, client = await created(
        shop, name="ci", scopes=["deployments:write"], allowed_cidrs=["192.0.2.0/24"]
    )
    path = f"/api-keys/{made['id']}"
    new = (await shop.client.post(f"{path}/rotate", {"overlap_seconds": 60})).data
    assert new["id"] != made["id"]
    assert new["secret"] != made["secret"]
    same = {"name", "scopes", "allowed_cidrs", "description"}
    assert {k: new[k] for k in same} == {k: made[k] for k in same}
    assert (new["rotated_from"], new["rotated_to"], new["expires_at"]) == (made["id"], None, None)
    old = (await shop.client.get(path)).data
    assert (old["rotated_to"], old["expires_at"]) == (new["id"], "2026-04-03T10:01:00Z")
    shop.clock.advance(seconds=59)
    assert (await client.get("/deployments")).status == 200
    shop.clock.advance(seconds=1)
    (await client.get("/deployments")).refused(401, "expired_key")
    assert (await client.with_key(new["secret"]).get("/deployments")).status == 200


async def test_without_an_overlap_the_very_next_request_is_refused(shop: Shop) -> None:
    made, client = await created(shop)
    assert (await client.get("/regions")).status == 200
    new = (await client.post(f"/api-keys/{made['id']}/rotate", {"overlap_seconds": 0})).data
    (await client.get("/regions")).refused(401, "expired_key")
    assert (await client.with_key(new["secret"]).get("/regions")).status == 200


async def test_the_overlap_is_an_hour_unless_told_otherwise_and_never_longer_than_the_key(shop: Shop) -> None:
    made, _ = await created(shop)
    await shop.client.post(f"/api-keys/{made['id']}/rotate")
    assert (await shop.client.get(f"/api-keys/{made['id']}")).data["expires_at"] == "2026-04-03T11:00:00Z"
    short, _ = await created(shop, expires_at="2026-04-03T10:30:00Z")
    new = (await shop.client.post(f"/api-keys/{short['id']}/rotate")).data
    assert new["expires_at"] == short["expires_at"]
    assert (await shop.client.get(f"/api-keys/{short['id']}")).data["expires_at"] == short["expires_at"]


@pytest.mark.parametrize("overlap", [-1, 604801, "1", None, 1.5])
async def test_a_wrong_overlap_is_refused(shop: Shop, overlap: object) -> None:
    path = f"/api-keys/{shop.customer.by.key_id}/rotate"
    problem = (await shop.client.post(path, {"overlap_seconds": overlap})).refused(400, "invalid_field")
    assert problem["details"]["field"] == "overlap_seconds"


async def test_nobody_gets_by_rotating_what_they_were_not_given(shop: Shop) -> None:
    _, weak = await created(shop, scopes=["api_keys:write"])
    path = f"/api-keys/{shop.customer.by.key_id}/rotate"
    problem = (await weak.post(path)).refused(403, "missing_scope")
    assert problem["details"]["required"] == ["*"]


async def test_what_has_ended_is_neither_changed_nor_rotated(shop: Shop) -> None:
    revoked, _ = await created(shop)
    await shop.client.delete(f"/api-keys/{revoked['id']}")
    expired, _ = await created(shop, expires_in_days=1)
    shop.clock.advance(seconds=86_400)
    for key in (revoked, expired):
        (await shop.client.put(f"/api-keys/{key['id']}", {"name": "x"})).refused(409, "invalid_state")
        (await shop.client.post(f"/api-keys/{key['id']}/rotate")).refused(409, "invalid_state")
    made, _ = await created(shop)
    assert (await shop.client.post(f"/api-keys/{made['id']}/rotate")).status == 200
    (await shop.client.post(f"/api-keys/{made['id']}/rotate")).refused(409, "invalid_state")


async def test_a_replay_of_a_rotation_has_no_secret(shop: Shop) -> None:
    made, _ = await created(shop)
    path = f"/api-keys/{made['id']}/rotate"
    first = (await shop.client.post(path, {}, idempotency_key="r")).data
    again = await shop.client.post(path, {}, idempotency_key="r")
    assert again.data == first | {"secret": None, "secret_redacted": True}
    assert first["secret"] not in again.content.decode()


async def test_rotating_works_at_the_limit_and_has_one_of_its_own(shop: Shop) -> None:
    client = shop.under(policy=Policy(api_keys_per_project=2))
    made = (await client.post("/api-keys", {})).data
    (await client.post("/api-keys", {})).refused(409, "quota")
    for _ in range(2):
        made = (await client.post(f"/api-keys/{made['id']}/rotate")).data
    (await client.post(f"/api-keys/{made['id']}/rotate")).refused(409, "quota")
    (await client.post("/api-keys", {})).refused(409, "quota")


async def test_ended_keys_are_listed_on_request_for_ninety_days(shop: Shop) -> None:
    revoked, _ = await created(shop, name="revoked")
    await shop.client.delete(f"/api-keys/{revoked['id']}")
    await created(shop, name="expired", expires_in_days=1)
    shop.clock.advance(seconds=86_401)

    async def names(**query: Any) -> set[str]:
        return {key["name"] for key in (await shop.client.get("/api-keys", **query)).data}

    assert await names() == {"default"}
    assert await names(include_revoked=True) == {"default", "revoked", "expired"}
    shop.clock.advance(seconds=89 * 86_400)
    assert await names(include_revoked=True) == {"default", "expired"}
    assert shop.db.write_now(projects.forget_ended) == 1
    shop.clock.advance(seconds=86_400)
    assert shop.db.write_now(projects.forget_ended) == 1
    assert shop.db.write_now(projects.forget_ended) == 0
    assert (await shop.client.get("/billing/balance")).status == 200
    (await shop.client.get(f"/api-keys/{revoked['id']}")).refused(404, "api_key_not_found")


async def test_every_change_is_an_event_that_says_from_where(shop: Shop) -> None:
    made, _ = await created(shop)
    await shop.client.put(f"/api-keys/{made['id']}", {"name": "x"})
    new = (await shop.client.post(f"/api-keys/{made['id']}/rotate")).data
    await shop.client.delete(f"/api-keys/{made['id']}")
    rows = shop.db.read_now(
        lambda tx: tx.all(
            "SELECT type, actor, address, request_id FROM events WHERE subject = :id ORDER BY sequence",
            id=made["id"].removeprefix("ak_"),
        )
    )
    kinds = [row[0] for row in rows]
    assert kinds == ["api_key.created", "api_key.updated", "api_key.rotated", "api_key.revoked"]
    assert {row[1] for row in rows} == {shop.customer.by.key_id}
    assert {row[2] for row in rows} == {"192.0.2.10"}
    assert all(row[3].startswith("req_") for row in rows)
    born = shop.db.read_now(
        lambda tx: tx.all("SELECT type FROM events WHERE subject = :id", id=new["id"].removeprefix("ak_"))
    )
    assert born == [("api_key.created",)]
