"""TensorDock's refusals in all their shapes, and what each asks of the caller."""

import json
from typing import Any

import pytest

from berth.core.driver import (
    BadCredentials,
    DriverError,
    NoCapacity,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unreachable,
)
from berth.drivers.tensordock.errors import Busy, Missing, error_of, refusal

ARRAY = [
    {"code": "custom", "message": "vCPU count must be even", "path": ["data", "attributes", "resources", 0]}
]


def judged(status: int, body: Any, *, changes: bool = True) -> DriverError:
    said = refusal(status, json.loads(json.dumps(body)))
    assert said is not None
    return error_of(*said, headers={}, changes=changes, what="POST /instances")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": "Account balance is too low"}, "Account balance is too low"),
        (ARRAY, "data.attributes.resources.0: vCPU count must be even"),
        ({"error": ARRAY}, "data.attributes.resources.0: vCPU count must be even"),
        ({"errors": [{"status": "400", "title": "Bad", "detail": "image"}]}, "Bad: image"),
        ({"error": {"message": "no"}}, "no"),
        ({}, ""),
        (None, ""),
    ],
)
def test_every_shape_of_error_is_read(body: Any, words: str) -> None:
    assert refusal(400, body) == (400, words)


@pytest.mark.parametrize(
    "body",
    [
        {"status": 400, "error": "No available nodes found"},
        {"error": "No available nodes found"},
        {"status": 400, "errors": [{"detail": "No available nodes found"}]},
    ],
)
def test_an_error_in_an_answer_of_200_is_an_error(body: Any) -> None:
    assert isinstance(judged(200, body), NoCapacity)


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"id": "1", "status": "creating"}},
        {"id": "1", "status": "running", "error": "a member of the machine"},
        {"data": []},
        [],
        None,
        {"status": "running"},
    ],
)
def test_a_success_is_none(body: Any) -> None:
    assert refusal(200, body) is None


@pytest.mark.parametrize(
    "words",
    [
        "No available nodes found",
        "no nodes available",
        "Nodes unavailable",
        "Insufficient capacity",
        "not enough capacity here",
        "Resource unavailable",
        "Out of stock",
        "GPU is not available",
        "GPU not available",
        "gpu unavailable",
        "No GPUs available",
        "Requested GPU is not here",
        "No matching GPU",
        "Location unavailable",
        "Datacenter unavailable",
        "Region unavailable",
        "Site unavailable",
        "Temporarily unavailable",
        "Under maintenance",
        "High demand",
        "Sold out",
        "Fully allocated",
        "At capacity",
        "No capacity",
        "Cannot allocate",
        "Allocation failed",
        "No available public IPs",
        "No public IP",
        "Hostnode unavailable",
    ],
)
def test_every_wording_of_sold_out_is_one(words: str) -> None:
    assert isinstance(judged(400, {"error": words}), NoCapacity)
    assert isinstance(judged(400, [{"code": "custom", "message": words, "path": []}]), NoCapacity)


@pytest.mark.parametrize(
    "words",
    [
        "GPU quota exceeded for the requested GPU",
        "Instance limit reached",
        "Maximum number of instances",
        "Account balance is too low",
    ],
)
def test_a_limit_of_the_account_says_nothing_of_the_offer(words: str) -> None:
    assert type(judged(400, {"error": words})) is Refused


@pytest.mark.parametrize(
    ("status", "body", "changes", "kind"),
    [
        (401, {"error": "Invalid API credentials"}, False, BadCredentials),
        (403, {"error": "Forbidden"}, False, BadCredentials),
        (400, {"error": "Invalid API credentials"}, True, BadCredentials),
        (200, {"status": 401, "error": "no"}, False, BadCredentials),
        (429, {"error": "Rate limit exceeded"}, True, RateLimited),
        (200, {"status": 429, "error": "slow down"}, True, RateLimited),
        (404, {"error": "Instance not found"}, True, Missing),
        (409, {"error": "busy"}, True, Busy),
        (400, ARRAY, True, Refused),
        (302, None, True, Refused),
        (500, None, True, OutcomeUnknown),
        (500, None, False, Unreachable),
        (503, {"error": "Service temporarily unavailable"}, True, OutcomeUnknown),
        (503, {"error": "No available nodes found"}, True, NoCapacity),
    ],
)
def test_a_refusal_is_named_for_what_to_do_next(
    status: int, body: Any, changes: bool, kind: type[DriverError]
) -> None:
    assert type(judged(status, body, changes=changes)) is kind


@pytest.mark.parametrize(
    ("asked", "waits"), [("7", 7.0), ("0", 1.0), ("x", 30.0), ("nan", 30.0), ("1e9", 3600.0)]
)
def test_the_pause_that_is_asked_for_is_kept_within_reason(asked: str, waits: float) -> None:
    error = error_of(429, "", headers={"Retry-After": asked}, changes=False, what="x")
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == waits
