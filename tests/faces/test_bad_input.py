"""What is wrong with a request is said by naming the member, and nothing is changed."""

import json
import re
from typing import Any

import pytest

from tests import make
from tests.faces.conftest import Shop
from tests.faces.samples import order

DEPLOY = "/deployments/clusters"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("hostname", ""),
        ("hostname", "x" * 256),
        ("hostname", "a\nb"),
        ("hostname", "a\0b"),
        ("hostname", "\ud800"),
        ("hostname", 1),
        ("hostname", ["x"]),
        ("hostname", True),
        ("cluster_type", "9B9000"),
        ("cluster_type", ""),
        ("cluster_type", "x" * 10_000),
        ("cluster_type", "a\0"),
        ("cluster_type", 7),
        ("image", "no-such-image"),
        ("image", "img_0"),
        ("image", {"id": 1}),
        ("location", "MOON-01"),
        ("location", "fin-01"),
        ("location", 1.5),
        ("ssh_key_ids", []),
        ("ssh_key_ids", ["sk_nobody"]),
        ("ssh_key_ids", "sk_nobody"),
        ("ssh_key_ids", [1]),
        ("ssh_key_ids", ["x" * 65]),
        ("ssh_key_ids", [f"sk_{number}" for number in range(21)]),
        ("description", "x" * 1001),
        ("description", 1),
        ("os_volume.size", {"size": 513}),
        ("os_volume.size", {"size": 0}),
        ("os_volume.size", {"size": -1}),
        ("os_volume.size", {"size": 9}),
        ("os_volume", "100"),
        ("os_volume.name", {"name": "x" * 65}),
        ("volumes[0].type", [{"name": "data", "size": 500, "type": "Tape"}]),
        ("volumes[0].size", [{"name": "data", "size": 5}]),
        ("volumes[0].name", [{"name": "a b", "size": 50}]),
        ("volumes", {}),
        ("existing_volumes", ["vol_1"]),
    ],
)
async def test_a_wrong_member_of_a_deploy_is_named(shop: Shop, member: str, value: Any) -> None:
    body = order(shop, **{re.split(r"[.[]", member, maxsplit=1)[0]: value})
    before = shop.rows()
    problem = (await shop.client.post(DEPLOY, body)).refused(400, "invalid_field")
    assert problem["code"] == "BAD_REQUEST"
    assert problem["details"]["field"] == member
    assert member in problem["error"]
    assert shop.rows() == before
    assert shop.pokes == []


@pytest.mark.parametrize("value", ["100", 1.5, 10**30, True])
async def test_a_wrong_size_is_named_with_what_it_is_in(shop: Shop, value: Any) -> None:
    problem = (await shop.client.post(DEPLOY, order(shop, os_volume={"size": value}))).refused(
        400, "invalid_field"
    )
    assert problem["details"]["field"].startswith("os_volume")


@pytest.mark.parametrize("member", ["cluster_type", "image", "hostname", "ssh_key_ids", "location"])
async def test_a_missing_member_is_required(shop: Shop, member: str) -> None:
    body = order(shop)
    del body[member]
    before = shop.rows()
    problem = (await shop.client.post(DEPLOY, body)).refused(400, "missing_field")
    assert problem["error"] == f"{member} is required"
    assert problem["details"] == {"field": member}
    assert shop.rows() == before


async def test_an_empty_body_misses_the_first_member(shop: Shop) -> None:
    for body in (b"", b"{}", b"  "):
        response = await shop.client.post(DEPLOY, body)
        assert response.json["error"] == "cluster_type is required"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"cluster_type": }',
        b"nonsense",
        b"[]",
        b'"text"',
        b"null",
        b"12",
        b'{"hostname": NaN}',
        b'{"hostname": -Infinity}',
        b'{"hostname": ' + b"9" * 5000 + b"}",
        b'{"hostname": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        b'{"hostname": "a\nb"}',
        b"[" * 30_000,
        b'{"a":' * 10_000,
        b'{"hostname": "a", "hostname": "b"}',
        b'{"os_volume": {"size": 1, "size": 2}}',
        b"{} {}",
        b"'",
    ],
    ids=range(19),
)
async def test_what_is_not_a_json_object_is_refused(shop: Shop, body: bytes) -> None:
    before = shop.rows()
    problem = (await shop.client.post(DEPLOY, body)).refused(400, "invalid_json")
    assert problem["code"] == "BAD_REQUEST"
    assert shop.rows() == before


@pytest.mark.parametrize("escape", [r"\u0000", r"\ud800", r"\udfff"])
async def test_an_escape_that_is_no_text_is_refused(shop: Shop, escape: str) -> None:
    key = make.public_key(f"me{escape}").replace("\\\\", "\\")
    for path, body in (
        ("/ssh-keys", f'{{"name": "k", "public_key": "{key}"}}'),
        ("/ssh-keys", f'{{"name": "{escape}", "public_key": "x"}}'),
        ("/api-keys", f'{{"description": "{escape}"}}'),
        ("/api-keys", f'{{"unknown": [{{"{escape}": 1}}]}}'),
    ):
        (await shop.client.post(path, body.encode())).refused(400, "invalid_field")


async def test_unknown_members_are_ignored(shop: Shop) -> None:
    body = order(shop, volumes=[], existing_volumes=[], colour="red")
    assert (await shop.client.post(DEPLOY, body)).data["volumes"] == []


async def test_an_image_that_does_not_fit_is_refused_with_those_that_do(shop: Shop) -> None:
    body = order(shop, cluster_type="1A100.22V", location="FIN-03", image="cuda-h100")
    problem = (await shop.client.post(DEPLOY, body)).refused(400, "image_incompatible")
    assert problem["details"] == {"field": "image", "compatible_images": ["ubuntu-24.04"]}


async def test_a_type_that_is_sold_out_is_a_conflict(shop: Shop) -> None:
    body = order(shop, cluster_type="8H200.141S.176V", location="ICE-01")
    problem = (await shop.client.post(DEPLOY, body)).refused(409, "no_capacity")
    assert problem["code"] == "CONFLICT"


async def test_a_balance_under_twenty_dollars_is_refused_with_both_amounts(shop: Shop) -> None:
    make.topup(shop.db, shop.customer.by, "-30.000001")
    body = order(shop)
    before = shop.rows()
    response = await shop.client.post(DEPLOY, body)
    problem = response.refused(402, "below_minimum")
    assert problem["code"] == "INSUFFICIENT_CREDITS"
    assert b'"balance_usd":19.999999' in response.content
    assert problem["details"]["required_usd"] == 20
    assert "$19.999999" in problem["error"]
    assert "$20.00" in problem["error"]
    assert shop.rows() == before
    make.topup(shop.db, shop.customer.by, "0.000001")
    assert (await shop.client.post(DEPLOY, body)).status == 200


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/gpus/available?limit=0", "limit"),
        ("/gpus/available?limit=101", "limit"),
        ("/gpus/available?limit=six", "limit"),
        ("/gpus/available?limit=", "limit"),
        ("/gpus/available?limit=1&limit=2", "limit"),
        ("/gpus/available?page=0", "page"),
        ("/gpus/available?page=-1", "page"),
        ("/gpus/available?page=" + "9" * 40, "page"),
        ("/gpus/available?sort_by=colour", "sort_by"),
        ("/gpus/available?sort_order=up", "sort_order"),
        ("/gpus/available?available_only=maybe", "available_only"),
        ("/gpus/available?max_price=-1", "max_price"),
        ("/gpus/available?max_price=cheap", "max_price"),
        ("/gpus/available?max_price=NaN", "max_price"),
        ("/gpus/available?max_price=1e99999999", "max_price"),
        ("/gpus/available?min_vram=lots", "min_vram"),
        ("/gpus/available?min_vram=Infinity", "min_vram"),
        ("/gpus/available?gpu_count=-1", "gpu_count"),
        ("/gpus/available?spot=sometimes", "spot"),
        ("/gpus/available?location=MOON-01", "location"),
        ("/gpus/available?location=%00", "location"),
        ("/gpus/available?image=%00", "image"),
        ("/gpus/available?cursor=xyz", "cursor"),
        ("/images?limit=0", "limit"),
        ("/images?cursor=xyz", "cursor"),
        ("/images?cluster_type=%27%00", "cluster_type"),
        ("/deployments?limit=0", "limit"),
        ("/deployments?limit=101", "limit"),
        ("/deployments?limit=1.5", "limit"),
        ("/deployments?status=happy", "status"),
        ("/deployments?cursor=", "cursor"),
        ("/deployments?cursor=%FF", None),
        ("/deployments?cursor=eyJpZCI6Imxhc3QtaWQifQ==", "cursor"),
        ("/deployments?cursor=" + "A" * 600, "cursor"),
        ("/deployments?" + "a=b&" * 200, None),
        ("/regions?active_only=2", "active_only"),
        (f"/deployments/availability/{make.H100}?location=MOON-01", "location"),
    ],
)
async def test_a_wrong_parameter_is_named(shop: Shop, path: str, field: str | None) -> None:
    response = await shop.client.get(path)
    assert response.status == 400, response.content
    assert response.json["code"] == "BAD_REQUEST"
    assert response.json["reason"] == ("invalid_cursor" if field == "cursor" else "invalid_field")
    assert response.json.get("details", {}).get("field") == field


async def test_words_to_choose_from_are_named(shop: Shop) -> None:
    response = await shop.client.get("/gpus/available?sort_by=colour")
    assert response.json["error"] == "sort_by must be one of price, vram, gpu_count, gpu_model."


async def test_unknown_parameters_are_ignored(shop: Shop) -> None:
    assert (await shop.client.get("/gpus/available?colour=red&colour=blue")).status == 200


@pytest.mark.parametrize("action", ["explode", "", 1, None])
async def test_an_unknown_action_is_named(shop: Shop, action: object) -> None:
    made = make.instance(shop.db, by=shop.customer.by)
    response = await shop.client.post(f"/deployments/dep_{made.id}/actions", {"action": action})
    assert response.refused(400, "invalid_field")["details"]["field"] == "action"
    (await shop.client.post(f"/deployments/dep_{made.id}/actions", {})).refused(400, "missing_field")


@pytest.mark.parametrize(
    ("status", "action"),
    [
        ("ordered", "start"),
        ("ordered", "stop"),
        ("provisioning", "restart"),
        ("offline", "restart"),
        ("error", "start"),
        ("failed_no_capacity", "stop"),
        ("deleting", "start"),
        ("deleted", "stop"),
    ],
)
async def test_an_action_in_the_wrong_state_is_a_conflict(shop: Shop, status: str, action: str) -> None:
    made = make.instance(shop.db, status, shop.customer.by)
    before = shop.rows()
    response = await shop.client.post(f"/deployments/dep_{made.id}/actions", {"action": action})
    problem = response.refused(409, "invalid_state")
    assert problem["code"] == "CONFLICT"
    assert problem["error"].startswith(f"Cannot {action} a deployment that is {status}")
    assert shop.rows() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"public_key": "x"}, "name"),
        ({"name": "k"}, "public_key"),
        ({"name": "", "public_key": "ok"}, "name"),
        ({"name": "x" * 65, "public_key": "ok"}, "name"),
        ({"name": "k", "public_key": "-----BEGIN OPENSSH PRIVATE KEY-----"}, "public_key"),
        ({"name": "k", "public_key": "ssh-ed25519 nonsense"}, "public_key"),
        ({"name": "k", "public_key": "x" * 17_000}, "public_key"),
        ({"name": "k", "public_key": 'command="rm -rf /" ssh-ed25519 AAAA'}, "public_key"),
        ({"name": 1, "public_key": "ok"}, "name"),
    ],
)
async def test_a_wrong_ssh_key_is_refused(shop: Shop, body: dict[str, object], field: str) -> None:
    if body.get("public_key") == "ok":
        body = body | {"public_key": make.public_key()}
    before = shop.rows()
    response = await shop.client.post("/ssh-keys", body)
    assert response.status == 400
    assert response.json["details"]["field"] == field
    assert shop.rows() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": 1}, "name"),
        ({"scopes": ["fly"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": "*"}, "scopes"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
        ({"expires_at": "2026-13-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 1, "expires_at": "2030-01-01T00:00:00Z"}, "expires_in_days"),
        ({"description": "x" * 501}, "description"),
        ({"allowed_cidrs": ["10.0.0.1/8"]}, "allowed_cidrs"),
        ({"allowed_cidrs": ["10.0.0.0/33"]}, "allowed_cidrs"),
        ({"allowed_cidrs": ["home"]}, "allowed_cidrs"),
        ({"allowed_cidrs": [""]}, "allowed_cidrs"),
        ({"allowed_cidrs": ["::ffff:10.0.0.0/104"]}, "allowed_cidrs"),
        ({"allowed_cidrs": ["fe80::1%eth0"]}, "allowed_cidrs"),
        ({"allowed_cidrs": ["10.0.0.0/8"] * 51}, "allowed_cidrs"),
        ({"allowed_cidrs": "10.0.0.0/8"}, "allowed_cidrs"),
    ],
)
async def test_a_wrong_api_key_request_is_refused(shop: Shop, body: dict[str, object], field: str) -> None:
    before = shop.rows()
    response = await shop.client.post("/api-keys", body)
    assert response.refused(400, "invalid_field")["details"]["field"] == field
    assert shop.rows() == before


@pytest.mark.parametrize(
    "media_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"]
)
async def test_a_body_declared_as_something_else_is_refused(shop: Shop, media_type: str) -> None:
    response = await shop.client.post("/ssh-keys", b"name=k", content_type=media_type)
    problem = response.refused(415, "unsupported_media_type")
    assert "Content-Type: application/json" in problem["error"]
    (await shop.client.post("/deployments/clusters", b"", content_type=media_type)).refused(
        400, "missing_field"
    )


@pytest.mark.parametrize(
    "media_type", ["application/json", "APPLICATION/JSON; charset=utf-8", "application/merge-patch+json"]
)
async def test_every_way_to_say_json_is_understood(shop: Shop, media_type: str) -> None:
    body = {"name": "k", "public_key": make.public_key()}
    assert (await shop.client.post("/ssh-keys", body, content_type=media_type)).status == 200


@pytest.mark.parametrize("chunks", [1, 7])
async def test_a_body_over_the_limit_is_refused_however_it_is_sent(shop: Shop, chunks: int) -> None:
    limit = shop.context.body_limit
    filler = json.dumps({"name": "k", "public_key": "x"})
    fitting = filler + " " * (limit - len(filler))
    response = await shop.client.call("POST", "/ssh-keys", body=fitting, chunks=chunks)
    response.refused(400, "invalid_field")
    response = await shop.client.call("POST", "/ssh-keys", body=fitting + " ", chunks=chunks)
    assert response.refused(413, "body_too_large")["code"] == "BAD_REQUEST"


async def test_a_length_declared_over_the_limit_is_refused_without_reading(shop: Shop) -> None:
    for length in ("99999999", "9" * 400):
        response = await shop.client.call("POST", "/ssh-keys", body=b"{}", headers={"content-length": length})
        response.refused(413, "body_too_large")


async def test_a_body_that_is_cut_off_does_nothing(shop: Shop) -> None:
    before = shop.rows()
    for parts in ([], [b"{}"], [b'{"name":', b'"k"}']):
        response = await shop.client.call("POST", "/api-keys", body=b"".join(parts), is_cut_off=True)
        response.refused(400, "body_cut_off")
    assert shop.rows() == before


@pytest.mark.parametrize("value", ["some", [1], {}, 1])
async def test_a_member_that_is_a_word_or_a_list_says_both(shop: Shop, value: Any) -> None:
    made = make.instance(shop.db, by=shop.customer.by)
    path = f"/deployments/dep_{made.id}"
    problem = (await shop.client.call("DELETE", path, body={"delete_volumes": value})).refused(
        400, "invalid_field"
    )
    assert problem["error"] == "delete_volumes must be one of all, or an array."
    assert problem["details"] == {"field": "delete_volumes"}
