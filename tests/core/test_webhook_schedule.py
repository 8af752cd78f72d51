"""Signatures by the published vectors, the times of attempts, and when a webhook is given up."""

import base64

import pytest

from berth.base.clock import DAY, HOUR, MINUTE, SECOND, Instant
from berth.core.webhooks import signature
from berth.core.webhooks.schedule import ATTEMPTS, DELAYS, Streak, next_attempt_at, throttled_until

FIRST = base64.b64decode("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
SECOND_KEY = base64.b64decode("ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=")
BODY = b'{"event":"deployment.running","deployment_id":"dep_abc123","status":"running"}'
START = Instant(1_767_225_600 * SECOND)


def test_signatures_are_those_of_the_published_vectors() -> None:
    assert len(BODY) == 78
    message_id = "msg_01JEXAMPLE0000000000000001"
    first = "v1,aUyhFJsB6IxmLzRjmGyMMu//dQ87bO4R2dbR9bceeD4="
    second = "v1,tPzcQPtZQ5elQ+d45KCEbROn6CM2g/VKDQlD9wxgRKs="
    assert signature([FIRST], message_id, 1767225600, BODY) == first
    assert signature([SECOND_KEY], message_id, 1767225600, BODY) == second
    assert signature([SECOND_KEY, FIRST], message_id, 1767225600, BODY) == f"{second} {first}"


def test_ten_attempts_span_three_days() -> None:
    assert ATTEMPTS == 10
    assert 75 * HOUR < sum(DELAYS) < 76 * HOUR


@pytest.mark.parametrize("attempt", range(1, ATTEMPTS))
def test_each_pause_is_within_a_tenth_of_its_length_and_always_the_same(attempt: int) -> None:
    pauses = set()
    for number in range(50):
        at = next_attempt_at(f"delivery-{number}", attempt, START, retry_after_s=None, permille=1000)
        again = next_attempt_at(f"delivery-{number}", attempt, START, retry_after_s=None, permille=1000)
        assert at is not None
        assert at == again
        pauses.add(at - START)
    delay = DELAYS[attempt - 1]
    assert all(delay * 9 // 10 <= pause <= delay * 11 // 10 for pause in pauses)
    assert len(pauses) > 40


def test_after_the_tenth_attempt_there_is_none() -> None:
    assert next_attempt_at("d", ATTEMPTS, START, retry_after_s=10, permille=1000) is None


def test_a_receiver_may_ask_for_a_longer_pause_but_not_for_more_than_a_day() -> None:
    asked = next_attempt_at("d", 1, START, retry_after_s=600, permille=1000)
    assert asked == START + 10 * MINUTE
    forever = next_attempt_at("d", 1, START, retry_after_s=10**8, permille=1000)
    assert forever == START + DAY
    sooner = next_attempt_at("d", 3, START, retry_after_s=1, permille=1000)
    assert sooner is not None
    assert sooner > START + 20 * MINUTE


def test_a_lab_waits_less() -> None:
    at = next_attempt_at("d", 9, START, retry_after_s=None, permille=1)
    assert at is not None
    assert 70 * SECOND < at - START < 100 * SECOND


def test_only_some_answers_hold_back_everything_else() -> None:
    assert throttled_until(503, 60, START) == START + MINUTE
    assert throttled_until(429, 10**9, START) == START + DAY
    assert throttled_until(500, 60, START) is None
    assert throttled_until(503, None, START) is None
    assert throttled_until(None, None, START) is None


def test_a_webhook_is_hopeless_five_days_after_a_failure_that_came_half_a_day_after_another() -> None:
    streak = Streak().failed(START)
    later = streak.failed(Instant(START + 12 * HOUR - 1))
    assert later.counted_since is None
    counted = later.failed(Instant(START + 12 * HOUR))
    assert counted.counted_since == START + 12 * HOUR
    assert not counted.is_hopeless(Instant(START + 12 * HOUR + 5 * DAY - 1))
    assert counted.failed(Instant(START + 3 * DAY)).is_hopeless(Instant(START + 12 * HOUR + 5 * DAY))
