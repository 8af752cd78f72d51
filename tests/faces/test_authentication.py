"""Who may come in: both headers, keys that end, and keys kept in memory that must not outlive themselves."""

import pytest

from berth.base.clock import after
from berth.core import projects
from tests import make
from tests.faces.conftest import Shop

BALANCE = "/billing/balance"


async def ask(shop: Shop, **headers: str) -> int:
    return (await shop.client.with_key(None).call("GET", BALANCE, headers=headers)).status


async def test_either_header_will_do_and_both_when_they_agree(shop: Shop) -> None:
    key = shop.customer.api_key
    assert await ask(shop, x_api_key=key) == 200
    assert await ask(shop, authorization=f"Bearer {key}") == 200
    assert await ask(shop, authorization=f"bearer   {key} ") == 200
    assert await ask(shop, x_api_key=key, authorization=f"Bearer {key}") == 200
    assert await ask(shop, x_api_key=key, authorization="Basic dXNlcjpwYXNz") == 200


async def test_two_different_keys_are_refused(shop: Shop) -> None:
    _, other = make.key(shop.db, shop.customer.by)
    client = shop.client.with_key(None)
    headers = {"x-api-key": shop.customer.api_key, "authorization": f"Bearer {other}"}
    response = await client.call("GET", BALANCE, headers=headers)
    response.refused(401, "conflicting_credentials")


@pytest.mark.parametrize("given", ["", "mk_", "mk_é", "mk_ x", "MK_1", "x" * 10_000])
async def test_what_is_no_key_is_refused(shop: Shop, given: str) -> None:
    response = await shop.client.with_key(None).call("GET", BALANCE, headers={"x-api-key": given})
    response.refused(401, "invalid_key")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_another_scheme_alone_is_no_key(shop: Shop) -> None:
    response = await shop.client.with_key(None).call("GET", BALANCE, headers={"authorization": "Basic eA=="})
    response.refused(401, "missing_key")


async def test_the_request_after_a_revocation_is_refused(shop: Shop) -> None:
    made, secret = make.key(shop.db, shop.customer.by)
    client = shop.client.with_key(secret)
    for _ in range(3):
        assert (await client.get(BALANCE)).status == 200
    assert (await shop.client.delete(f"/api-keys/ak_{made.id}")).data["revoked_at"]
    (await client.get(BALANCE)).refused(401, "revoked_key")
    (await client.post("/api-keys", {})).refused(401, "revoked_key")
    assert (await shop.client.get(BALANCE)).status == 200


async def test_a_revocation_at_one_replica_holds_for_the_next_request_at_another(shop: Shop) -> None:
    made, secret = make.key(shop.db, shop.customer.by)
    rotated, old_secret = make.key(shop.db, shop.customer.by)
    clients = [shop.replica().with_key(key) for key in (secret, old_secret)]
    for client in clients:
        assert (await client.get(BALANCE)).status == 200
    assert (await shop.client.delete(f"/api-keys/ak_{made.id}")).status == 200
    assert (await shop.client.post(f"/api-keys/ak_{rotated.id}/rotate", {"overlap_seconds": 0})).status == 200
    if not shop.db.is_shared:
        # One process has such a database to itself. What another does to it, a command for example, is seen so late.
        shop.clock.advance(seconds=5)
    (await clients[0].get(BALANCE)).refused(401, "revoked_key")
    (await clients[1].get(BALANCE)).refused(401, "expired_key")


async def test_a_key_may_revoke_itself(shop: Shop) -> None:
    made, secret = make.key(shop.db, shop.customer.by)
    client = shop.client.with_key(secret)
    assert (await client.delete(f"/api-keys/ak_{made.id}")).status == 200
    (await client.delete(f"/api-keys/ak_{made.id}")).refused(401, "revoked_key")


async def test_a_refused_revocation_revokes_nothing(shop: Shop) -> None:
    own = (await shop.client.get("/api-keys")).data[0]["id"]
    (await shop.client.delete(f"/api-keys/{own}")).refused(409, "last_key")
    assert (await shop.client.get(BALANCE)).status == 200
    assert (await shop.client.call("DELETE", f"/api-keys/{own}", query={"force": True})).status == 200
    (await shop.client.get(BALANCE)).refused(401, "revoked_key")


async def test_a_key_revoked_by_an_operator_ends_within_seconds(shop: Shop) -> None:
    made, secret = make.key(shop.db, shop.customer.by)
    client = shop.client.with_key(secret)
    assert (await client.get(BALANCE)).status == 200
    shop.db.write_now(projects.revoke_key, shop.customer.by, made.id)
    shop.clock.advance(seconds=5)
    (await client.get(BALANCE)).refused(401, "revoked_key")


async def test_a_key_ends_at_its_expiry_to_the_second(shop: Shop) -> None:
    _, secret = make.key(shop.db, shop.customer.by, expires_at=after(shop.clock.now(), seconds=2))
    client = shop.client.with_key(secret)
    assert (await client.get(BALANCE)).status == 200
    shop.clock.advance(seconds=1)
    assert (await client.get(BALANCE)).status == 200
    shop.clock.advance(seconds=1)
    (await client.get(BALANCE)).refused(401, "expired_key")


async def test_the_use_of_a_key_is_noted_at_most_once_a_minute(shop: Shop) -> None:
    async def last_used() -> str | None:
        await shop.client.get("/api-keys")
        await shop.context.known_keys.settle()
        used: str | None = (await shop.client.get("/api-keys")).data[0]["last_used_at"]
        return used

    assert await last_used() == "2026-04-03T10:00:00Z"
    shop.clock.advance(seconds=59)
    assert await last_used() == "2026-04-03T10:00:00Z"
    shop.clock.advance(seconds=2)
    assert await last_used() == "2026-04-03T10:01:01Z"


async def test_every_mount_forgets_a_revoked_key(shop: Shop) -> None:
    made, secret = make.key(shop.db, shop.customer.by)
    nested = shop.nested().with_key(secret)
    assert (await nested.get(BALANCE)).status == 200
    await shop.client.delete(f"/api-keys/ak_{made.id}")
    (await nested.get(BALANCE)).refused(401, "revoked_key")
