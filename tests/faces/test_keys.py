"""SSH keys and API keys over the retail API."""

import pytest

from tests import make
from tests.faces.conftest import Shop

LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f test@example"
FINGERPRINT = "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA"


async def test_an_uploaded_key_is_known_by_its_fingerprint(shop: Shop) -> None:
    added = (await shop.client.post("/ssh-keys", {"name": "my-laptop", "public_key": LINE})).data
    assert added | {"id": ""} == {
        "id": "",
        "name": "my-laptop",
        "fingerprint": FINGERPRINT,
        "key_type": "ed25519",
        "created_at": "2026-04-03T10:00:00Z",
        "in_use_by": 0,
        "warning": None,
    }
    assert (await shop.client.get("/ssh-keys")).data == [added]
    assert (await shop.client.get(f"/ssh-keys/{added['id']}")).data == added | {"public_key": LINE}


async def test_the_same_key_twice_is_a_duplicate_of_the_first(shop: Shop) -> None:
    added = (await shop.client.post("/ssh-keys", {"name": "a", "public_key": LINE})).data
    problem = (await shop.client.post("/ssh-keys", {"name": "b", "public_key": LINE})).refused(
        409, "duplicate"
    )
    assert problem["details"] == {"existing_id": added["id"]}
    stranger, theirs = shop.stranger()
    assert (await theirs.post("/ssh-keys", {"name": "b", "public_key": LINE})).status == 200
    assert stranger.id != shop.customer.id


async def test_a_deleted_key_is_gone_and_stays_on_what_has_it(shop: Shop) -> None:
    made = make.instance(shop.db, by=shop.customer.by)
    path = f"/ssh-keys/sk_{made.ssh_key_ids[0]}"
    assert (await shop.client.delete(path)).data["id"] == path.rpartition("/")[2]
    (await shop.client.delete(path)).refused(404, "ssh_key_not_found")
    assert (await shop.client.get("/ssh-keys")).data == []
    assert (await shop.client.get(f"/deployments/{made.id}")).data["ssh_key_ids"] == [path.rpartition("/")[2]]


async def test_the_secret_is_in_the_first_answer_only(shop: Shop) -> None:
    created = (await shop.client.post("/api-keys", {"name": "ci", "description": "for tests"})).data
    secret = created.pop("secret")
    assert len(secret) == len("mk_") + 64
    assert created["prefix"] == secret[: len("mk_") + 8]
    assert created["scopes"] == ["*"]
    assert secret not in (await shop.client.get("/api-keys")).content.decode()
    assert (await shop.client.get(f"/api-keys/{created['id']}")).data == created
    revoked = await shop.client.delete(f"/api-keys/{created['id']}")
    assert revoked.data == created | {"revoked_at": "2026-04-03T10:00:00Z"}
    assert (await shop.client.delete(f"/api-keys/{created['id']}")).data == revoked.data
    assert created["id"] not in (await shop.client.get("/api-keys")).content.decode()


@pytest.mark.parametrize("body", [None, b"", {}, {"name": "default"}])
async def test_a_key_without_a_name_is_called_default(
    shop: Shop, body: bytes | dict[str, str] | None
) -> None:
    assert (await shop.client.post("/api-keys", body)).data["name"] == "default"


async def test_a_key_passes_on_no_more_than_it_has(shop: Shop) -> None:
    scopes = ["api_keys:write", "catalog:read"]
    limited = (await shop.client.post("/api-keys", {"scopes": scopes})).data
    client = shop.client.with_key(limited["secret"])
    assert (await client.post("/api-keys", {})).data["scopes"] == scopes
    assert (await client.post("/api-keys", {"scopes": ["catalog:read"]})).status == 200
    problem = (await client.post("/api-keys", {"scopes": ["*"]})).refused(403, "missing_scope")
    assert problem["code"] == "FORBIDDEN"


async def test_presets_stand_for_their_scopes(shop: Shop) -> None:
    scopes = (await shop.client.post("/api-keys", {"scopes": ["read_only"]})).data["scopes"]
    assert "deployments:read" in scopes
    assert all(scope.endswith(":read") for scope in scopes)


@pytest.mark.parametrize(
    "body",
    [
        {"expires_in_days": 30},
        {"expires_at": "2026-05-03T10:00:00Z"},
        {"expires_at": "2026-05-03T12:00:00+02:00"},
    ],
)
async def test_a_key_can_be_given_an_end(shop: Shop, body: dict[str, object]) -> None:
    assert (await shop.client.post("/api-keys", body)).data["expires_at"] == "2026-05-03T10:00:00Z"
