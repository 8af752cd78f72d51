"""What a process counts, as Prometheus reads it."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from berth.base.meters import Measure, Meters, Reading

CALLS = Measure("calls_total", "Calls.", ("to",))
FAILURES = Measure("failures_total", "Failures.")
SECONDS = Measure("call_seconds", "How long.", (), (1.0, 2.0))


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """Each sample's value, by its name and the values of its labels in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_what_was_counted_is_told_and_what_never_happened_is_zero() -> None:
    meters = Meters([CALLS, FAILURES, SECONDS])
    meters.add(CALLS, to="one")
    meters.add(CALLS, 2.5, to="one")
    for seconds in (0.5, 1.5, 7):
        meters.observe(SECONDS, seconds)
    assert samples(meters.text()) == {
        ("calls_total", "one"): 3.5,
        ("failures_total",): 0,
        ("call_seconds_bucket", "1.0"): 1,
        ("call_seconds_bucket", "2.0"): 2,
        ("call_seconds_bucket", "+Inf"): 3,
        ("call_seconds_count",): 3,
        ("call_seconds_sum",): 9,
    }


def test_two_processes_in_one_interpreter_count_apart() -> None:
    one, other = Meters([CALLS]), Meters([CALLS])
    one.add(CALLS, to="x")
    assert samples(other.text()) == {}


def test_what_stands_is_asked_for_when_somebody_looks() -> None:
    meters, depth = Meters(), 3.0
    meters.watch(lambda: [Reading("depth", "Now.", [((), depth)])])
    assert samples(meters.text()) == {("depth",): 3}
    depth = 4.0
    total = Reading("done", "So far.", [(("a",), 1), (("b",), 2)], ("what",), is_total=True)
    assert samples(meters.text([total])) == {("depth",): 4, ("done_total", "a"): 1, ("done_total", "b"): 2}


def test_requests_are_counted_and_timed_by_pattern() -> None:
    meters = Meters()
    for seconds in (0.0005, 0.001, 0.3, 60):
        meters.requests.note("GET", "/x/{id}", 200, seconds)
    meters.requests.note("GET", "/x/{id}", 404, 0.02)
    found = samples(meters.text())
    assert found["http_requests_total", "GET", "/x/{id}", "200"] == 4
    assert found["http_requests_total", "GET", "/x/{id}", "404"] == 1
    name = "http_request_duration_seconds"
    buckets = {
        key[1]: value for key, value in found.items() if key[0] == f"{name}_bucket" and key[4] == "200"
    }
    assert (buckets["0.001"], buckets["0.25"], buckets["0.5"], buckets["10.0"], buckets["+Inf"]) == (
        2,
        2,
        3,
        3,
        4,
    )
    assert found[f"{name}_count", "GET", "/x/{id}", "200"] == 4
    assert found[f"{name}_sum", "GET", "/x/{id}", "200"] == pytest.approx(60.3015)


def test_whatever_methods_strangers_make_up_are_one() -> None:
    meters = Meters()
    for method in ("BREW", "PROPFIND", "<x>", 'G"ET'):
        meters.requests.note(method, "unmatched", 404, 0)
    assert samples(meters.text())["http_requests_total", "other", "unmatched", "404"] == 4
