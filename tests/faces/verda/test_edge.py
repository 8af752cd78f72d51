"""What every answer has, whatever was asked: JSON with a code and a message on every refusal, and limits."""

import pytest

from berth.base.db import DatabaseUnavailable, Tx
from berth.core.errors import InsufficientCredits, Invalid, NoCapacity, UpstreamUnavailable
from berth.faces.face import Call, Edge, Face, Quotas, Rates, Route
from berth.faces.verda import envelope, errors, words
from berth.faces.verda.oauth import authenticate_by_token
from tests.faces.test_edge import every_kind
from tests.faces.verda.conftest import PREFIX, Caller, Cloud, refused, uuid


@pytest.mark.parametrize("path", ["/nothing", "/", "", "/instances/x/y/z", "/../etc", "/ssh-keys//x", "/é"])
async def test_an_unknown_path_is_a_404_in_json(cloud: Cloud, path: str) -> None:
    for client in (cloud.client, cloud.client.with_key(None)):
        refused(await client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/container-deployments",
        "/container-deployments/mine",
        "/container-deployments/mine/status",
        "/serverless-compute-resources",
        "/secrets",
        "/file-secrets",
        "/container-registry-credentials",
        "/job-deployments",
        "/job-deployments/mine/scaling",
    ],
)
async def test_serverless_is_not_here(cloud: Cloud, path: str) -> None:
    for method in ("GET", "POST", "PATCH", "DELETE"):
        message = refused(await cloud.client.call(method, path), 404, "not_found")
        assert message == f"There is nothing at '{path}'."


@pytest.mark.parametrize(
    ("ours", "shown"),
    [
        ("The boot disk of a deployment stays with it.", "The boot disk of an instance stays with it."),
        ("A deployment that ended. Its deployments.", "An instance that ended. Its instances."),
        ("deployment_id: this deployment's", "instance_id: this instance's"),
        ("Unknown image 'deployment'.", "Unknown image 'deployment'."),
        ("Deployment not found.", "Instance not found."),
    ],
)
def test_sentences_of_core_are_said_in_the_words_of_this_api(ours: str, shown: str) -> None:
    assert words.sentence(ours) == shown


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/instances", "GET, HEAD, POST, PUT"),
        ("POST", "/balance", "GET, HEAD"),
        ("GET", "/oauth2/token", "POST"),
        ("OPTIONS", "/ssh-keys", "DELETE, GET, HEAD, POST"),
        ("GET", "/instances/action", "POST"),
        ("DELETE", "/volumes/trash", "GET, HEAD"),
        ("POST", "/images/cluster", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_says_which_are_right(cloud: Cloud, method: str, path: str, allow: str) -> None:
    response = await cloud.client.call(method, path)
    refused(response, 405, "invalid_request")
    assert response.headers["allow"] == allow


def raises(error: Exception, method: str = "GET") -> Route:
    def handler(tx: Tx, call: Call) -> object:
        raise error

    return Route(method=method, path="/x", handler=handler, summary="", scope="billing:read", answer=None)


def one_route(cloud: Cloud, route: Route) -> Caller:
    face = Face(
        name="test",
        routes=[route],
        authenticate=authenticate_by_token,
        render=envelope.render,
        refuse=errors.refuse,
        takes_keys=False,
    )
    return Caller(Edge(cloud.context, face), cloud.token(), PREFIX)


def test_every_kind_of_refusal_has_a_status_and_a_code() -> None:
    assert set(every_kind()) == set(errors.KINDS)


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (ZeroDivisionError("oops"), 500, "server_error", "Internal server error"),
        (DatabaseUnavailable("gone"), 503, "service_unavailable", None),
        (
            NoCapacity("no_capacity", "H100 has no capacity."),
            503,
            "service_unavailable",
            "Not enough resources at the moment...",
        ),
        (UpstreamUnavailable("away", "Away."), 503, "service_unavailable", "Away."),
        (InsufficientCredits("insufficient_credits", "Too little."), 402, "insufficient_funds", None),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_goes_wrong_is_told_in_json(
    cloud: Cloud, method: str, error: Exception, status: int, code: str, message: str | None
) -> None:
    response = await one_route(cloud, raises(error, method)).call(method, "/x")
    refused(response, status, code, message)
    assert b"oops" not in response.content


async def test_a_sentence_speaks_of_instances_and_shows_ids_as_they_are_shown(cloud: Cloud) -> None:
    core_id = "01KMHDX2G0QZ4RRTP0M9YVWDEB"
    told = Invalid("x", f"location: the Deployment {core_id}, deployment_id, of two deployments.")
    response = await one_route(cloud, raises(told)).get("/x")
    assert response.json["message"] == (
        f"location_code: the Instance {uuid(core_id)}, instance_id, of two instances."
    )


async def test_an_idempotency_key_means_nothing_here(cloud: Cloud) -> None:
    body = {"name": "setup", "script": "true"}
    first = await cloud.client.post("/scripts", body, idempotency_key="k")
    second = await cloud.client.post("/scripts", body, idempotency_key="k")
    assert (first.status, second.status) == (201, 201)
    assert first.content != second.content
    assert (await cloud.client.post("/scripts", body, idempotency_key="é" * 300)).status == 201


async def test_every_answer_to_somebody_known_says_where_they_stand(cloud: Cloud) -> None:
    client = cloud.under(rates=Rates(Quotas(), cloud.clock, cloud.db))
    cloud.clock.advance(seconds=23)
    response = await client.get("/locations")
    assert response.headers["ratelimit-policy"] == '"project";q=500;w=60, "endpoint";q=60;w=60'
    assert response.headers["ratelimit"] == '"project";r=499;t=37, "endpoint";r=59;t=37'
    assert (await client.get("/instances")).headers["ratelimit-policy"].endswith('"endpoint";q=120;w=60')
    assert (await client.get("/volumes")).headers["ratelimit-policy"].endswith('"endpoint";q=120;w=60')
    refusal = await client.get("/instances/nothing")
    assert refusal.headers["ratelimit"] == '"project";r=496;t=37, "endpoint";r=59;t=37'
    assert "ratelimit" not in (await client.get("/instance-types")).headers


async def test_sixty_a_minute_for_each_method_and_full_path(cloud: Cloud) -> None:
    client = cloud.under(rates=Rates(Quotas(), cloud.clock, cloud.db))
    one, other = cloud.volume(), cloud.volume(name="other")
    paths = [f"/volumes/{uuid(each.id)}" for each in (one, other)]
    for _ in range(60):
        assert (await client.get(paths[0], ignored=1)).status == 200
    cloud.clock.advance(seconds=11)
    response = await client.get(paths[0])
    assert "49 seconds" in refused(response, 429, "rate_limit_exceeded")
    assert response.headers["retry-after"] == "49"
    assert response.headers["ratelimit"] == '"project";r=440;t=49, "endpoint";r=0;t=49'
    assert (await client.get(paths[1])).status == 200
    assert (await client.delete(paths[0])).status == 202
    cloud.clock.advance(seconds=49)
    assert (await client.get(paths[0])).status == 200


async def test_six_hundred_requests_in_a_minute_are_a_hundred_too_many(cloud: Cloud) -> None:
    client = cloud.under(rates=Rates(Quotas(), cloud.clock, cloud.db))
    statuses = [
        (await client.get(f"/instance-availability/TYPE.{number // 50}")).status for number in range(600)
    ]
    assert statuses == [200] * 500 + [429] * 100
    _, theirs = cloud.stranger()
    assert (await client.with_key(theirs.key).get("/locations")).status == 200
