"""How one gets in: tokens for a pair, tokens for a refresh token, and everything that gets none."""

import base64
import json
from typing import Any

import pytest

from berth.core import projects
from berth.faces import verda
from berth.faces.face import Context
from berth.faces.verda.oauth import tokens
from tests import make
from tests.faces.conftest import Response
from tests.faces.verda.conftest import PREFIX, Caller, Cloud, refused

TOKEN = "/oauth2/token"


def pair(cloud: Cloud, **members: Any) -> dict[str, Any]:
    return {
        "grant_type": "client_credentials",
        "client_id": cloud.customer.client_id,
        "client_secret": cloud.customer.client_secret,
    } | members


async def ask(cloud: Cloud, body: Any, **headers: str) -> Response:
    return await cloud.client.with_key(None).post(TOKEN, body, **headers)


async def test_a_pair_gets_a_token_that_opens_the_api(cloud: Cloud) -> None:
    response = await ask(cloud, pair(cloud))
    assert response.status == 200
    assert response.headers["cache-control"] == "no-store"
    issued = response.json
    assert set(issued) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (issued["token_type"], issued["scope"]) == ("Bearer", "cloud-api-v1")
    assert issued["expires_in"] == 3600
    assert isinstance(issued["expires_in"], int)
    assert (await cloud.client.with_key(issued["access_token"]).get("/balance")).json["amount"] == 500


async def test_a_refresh_token_gets_both_kinds_again(cloud: Cloud) -> None:
    first = (await ask(cloud, pair(cloud))).json
    cloud.clock.advance(seconds=tokens.ACCESS_S)
    assert (await cloud.client.with_key(first["access_token"]).get("/balance")).status == 401
    again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = (await ask(cloud, again)).json
    assert set(second) == set(first)
    assert (await cloud.client.with_key(second["access_token"]).get("/balance")).status == 200
    # One client repeats the pair in the request, and one uses a refresh token twice.
    assert (await ask(cloud, again | pair(cloud) | again)).status == 200


async def test_a_refresh_token_outlives_its_access_token_by_far_and_then_dies(cloud: Cloud) -> None:
    refresh_token = (await ask(cloud, pair(cloud))).json["refresh_token"]
    again = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    cloud.clock.advance(seconds=29 * 24 * 3600)
    assert (await ask(cloud, again)).status == 200
    cloud.clock.advance(seconds=24 * 3600)
    refused(await ask(cloud, again), 401, "unauthorized_request")


async def test_tokens_work_after_a_restart_and_at_every_replica(cloud: Cloud) -> None:
    issued = (await ask(cloud, pair(cloud))).json
    elsewhere = Caller(
        verda.build(
            Context(cloud.db, cloud.clock, make.PEPPER, make.RULES, cloud.pokes.append, "0.0.0-test")
        ),
        issued["access_token"],
        PREFIX,
    )
    assert (await elsewhere.get("/balance")).status == 200
    again = {"grant_type": "refresh_token", "refresh_token": issued["refresh_token"]}
    assert (await elsewhere.with_key(None).post(TOKEN, again)).status == 200


async def test_tokens_of_another_installation_mean_nothing(cloud: Cloud) -> None:
    foreign = tokens.issue(
        b"another pepper", cloud.customer.client_id, "access", scope=tokens.SCOPE, now=cloud.clock.now()
    )
    refused(await cloud.client.with_key(foreign).get("/balance"), 401, "unauthorized_request")


async def test_a_form_is_taken_too(cloud: Cloud) -> None:
    customer = cloud.customer
    form = (
        f"grant_type=client_credentials&client_id={customer.client_id}"
        f"&client_secret={customer.client_secret}&audience=x"
    )
    for media_type in (
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
    ):
        assert (await ask(cloud, form, content_type=media_type)).status == 200
    refused(
        await ask(
            cloud,
            "grant_type=client_credentials&client_id=a%00b&client_secret=x",
            content_type="application/x-www-form-urlencoded",
        ),
        401,
        "unauthorized_request",
    )
    problem = refused(await ask(cloud, "x", content_type="text/plain"), 400, "invalid_request")
    assert "Content-Type: application/json" in problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grant_type": None}, "grant_type not specified"),
        ({"grant_type": ""}, "grant_type not specified"),
        ({"grant_type": "password"}, "unsupported grant type"),
        ({"client_id": None}, "client_id is required"),
        ({"client_secret": ""}, "client_secret is required"),
        ({"grant_type": "refresh_token"}, "refresh_token is required"),
        ({"client_id": 7}, "client_id must be a string."),
        ({"client_id": ["a"]}, "client_id must be a string."),
        ({"scope": "a\nb"}, "scope holds characters that are not allowed."),
    ],
)
async def test_what_is_missing_or_unknown_is_a_400(
    cloud: Cloud, change: dict[str, Any], message: str
) -> None:
    refused(await ask(cloud, pair(cloud, **change)), 400, "invalid_request", message)


@pytest.mark.parametrize(
    "change",
    [
        {"client_secret": "wrong"},
        {"client_id": "nobody"},
        {"client_id": "x" * 4096},
        {"client_id": "é'\""},
        {"client_secret": "é" * 100},
    ],
)
async def test_a_wrong_pair_is_a_401(cloud: Cloud, change: dict[str, Any]) -> None:
    response = await ask(cloud, pair(cloud, **change))
    refused(response, 401, "unauthorized_request", "The client credentials are not valid.")


async def test_what_is_no_refresh_token_is_a_401(cloud: Cloud) -> None:
    issued = (await ask(cloud, pair(cloud))).json
    for wrong in ("x", "a.b.c", issued["access_token"], issued["refresh_token"] + "x", "é", "." * 3000):
        response = await ask(cloud, {"grant_type": "refresh_token", "refresh_token": wrong})
        refused(response, 401, "unauthorized_request", "Refresh token is invalid or expired")


async def test_a_revoked_client_gets_no_token_by_either_grant(cloud: Cloud) -> None:
    issued = (await ask(cloud, pair(cloud))).json
    cloud.db.write_now(projects.revoke_client, cloud.customer.by, cloud.customer.client_id)
    refused(await ask(cloud, pair(cloud)), 401, "unauthorized_request")
    again = {"grant_type": "refresh_token", "refresh_token": issued["refresh_token"]}
    refused(await ask(cloud, again), 401, "unauthorized_request")


async def test_a_token_may_be_asked_for_with_another_scope_and_opens_nothing_here(cloud: Cloud) -> None:
    issued = (await ask(cloud, pair(cloud, scope="console"))).json
    assert issued["scope"] == "console"
    response = await cloud.client.with_key(issued["access_token"]).get("/balance")
    refused(response, 403, "forbidden_action", "Insufficient scope")
    again = {"grant_type": "refresh_token", "refresh_token": issued["refresh_token"]}
    assert (await ask(cloud, again)).json["scope"] == "console"
    assert (await ask(cloud, pair(cloud, scope="cloud-api-v1"))).json["scope"] == "cloud-api-v1"


async def test_a_token_is_read_by_its_signature_and_not_by_what_it_says_of_itself(cloud: Cloud) -> None:
    head, claims, signature = cloud.token().split(".")
    read = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "typ": "JWT"}
    assert read["sub"] == cloud.customer.client_id
    forged = base64.urlsafe_b64encode(json.dumps(read | {"exp": 2**40}).encode()).rstrip(b"=").decode()
    for wrong in (f"{head}.{forged}.{signature}", f"{head}.{claims}", f"{head}.{claims}.{signature}.x"):
        refused(await cloud.client.with_key(wrong).get("/balance"), 401, "unauthorized_request")


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "bearer", "Bearer \xe9", "Bearer a b"]
)
async def test_what_is_no_bearer_token_is_a_401(cloud: Cloud, authorization: str) -> None:
    response = await cloud.client.call("GET", "/balance", headers={"authorization": authorization})
    refused(response, 401, "unauthorized_request", "Access token is missing or invalid")


async def test_the_word_bearer_may_be_in_lower_case(cloud: Cloud) -> None:
    response = await cloud.client.call(
        "GET", "/balance", headers={"authorization": f"bearer {cloud.token()}"}
    )
    assert response.status == 200


async def test_a_token_shows_its_own_project_alone(cloud: Cloud) -> None:
    cloud.instance()
    _, theirs = cloud.stranger()
    assert (await theirs.get("/instances")).json == []
    assert len((await cloud.client.get("/instances")).json) == 1
