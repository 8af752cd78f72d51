"""Which hosts a template runs on: what its filters say, clause by clause, and whatever else may stand there."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.core.catalog import filters

HOST: dict[str, filters.Value] = {
    "cuda_max_good": 12.8,
    "compute_cap": 890,
    "gpu_total_ram": 49140,
    "gpu_ram": 24570,
    "cpu_arch": "amd64",
    "num_gpus": "2",
    "gpu_name": "RTX 4090",
    "verified": True,
    "static_ip": False,
    "driver_version": "550.54.15",
    "dph_total": 0.45,
}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("  \n", True),
        ("null", True),
        ("{}", True),
        ('{"cpu_arch": {}}', True),
        ('{"cpu_arch": {"in": ["arm64", "amd64"]}}', True),
        ('{"cpu_arch": {"in": ["arm64"]}}', False),
        ('{"cpu_arch": {"in": []}}', False),
        ('{"cpu_arch": {"notin": []}}', True),
        ('{"cpu_arch": {"notin": ["arm64"]}}', True),
        ('{"cpu_arch": {"notin": ["arm64", "amd64"]}}', False),
        ('{"cpu_arch": {"eq": "amd64"}}', True),
        ('{"cpu_arch": {"eq": "AMD64"}}', False),
        ('{"cpu_arch": {"neq": "amd64"}}', False),
        ('{"cuda_max_good": {"gte": 12.8}}', True),
        ('{"cuda_max_good": {"gt": 12.8}}', False),
        ('{"cuda_max_good": {"gte": 12.9}}', False),
        ('{"cuda_max_good": {"gte": "12.8"}}', True),
        ('{"cuda_max_good": {"lt": 13}}', True),
        ('{"cuda_max_good": {"lte": 12.8, "gte": 12}}', True),
        ('{"cuda_max_good": {"lte": 12.8, "gt": 13}}', False),
        ('{"compute_cap": {"eq": 890.0}}', True),
        ('{"compute_cap": {"in": [700, 890]}}', True),
        ('{"num_gpus": {"eq": 2}}', True),
        ('{"num_gpus": {"eq": "2"}}', True),
        ('{"num_gpus": {"gte": 2, "lt": 10}}', True),
        ('{"num_gpus": {"in": ["1", "2"]}}', True),
        ('{"num_gpus": {"in": [1, 4]}}', False),
        ('{"gpu_name": {"gt": 5}}', False),
        ('{"gpu_name": {"eq": 5}}', False),
        ('{"gpu_name": {"neq": 5}}', True),
        ('{"driver_version": {"gte": "550"}}', True),
        ('{"verified": {"eq": true}}', True),
        ('{"verified": {"eq": "true"}}', True),
        ('{"verified": {"eq": false}}', False),
        ('{"verified": {"neq": null}}', True),
        ('{"static_ip": {"eq": true}}', False),
        ('{"static_ip": {"in": [true, null, {"a": 1}, []]}}', False),
        ('{"dph_total": {"lte": 1e400}}', False),
        ('{"unheard_of": {"eq": 1}}', True),
        ('{"unheard_of": {"eq": 1}, "cpu_arch": {"eq": "arm64"}}', False),
    ],
)
def test_a_host_fits_when_every_clause_holds_that_it_can_be_measured_by(text: str, fits: bool) -> None:
    assert filters.fitting(text)(HOST) is fits


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '"x"',
        "5",
        "true",
        '{"cpu_arch": "amd64"}',
        '{"cpu_arch": null}',
        '{"cpu_arch": {"like": "amd"}}',
        '{"cpu_arch": {"in": "amd64"}}',
        '{"cpu_arch": {"eq": ["amd64"]}}',
        '{"cuda_max_good": {"gte": NaN}}',
        '{"cuda_max_good": {"gte": Infinity}}',
        "[" * 100_000,
        '{"a":' * 15_000,
        '{"cuda_max_good": {"gte": ' + "9" * 5000 + "}}",
        " " * 30_000,
    ],
)
def test_what_cannot_be_read_fits_nothing(text: str) -> None:
    assert filters.parse(text) is None
    assert not filters.fitting(text)(HOST)
    assert not filters.fitting(text)({})


def test_one_filter_is_one_object() -> None:
    """So that an inventory asks it once for each offer."""
    assert filters.fitting('{"a": {"eq": 1}}') is filters.fitting('{"a": {"eq": 1}}')


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("", None),
        ('{"cuda_max_good": {"gte": 12.8}}', 12.8),
        ('{"cuda_max_good": {"gt": 12.8}}', 12.9),
        ('{"cuda_max_good": {"gte": "12.4"}}', 12.4),
        ('{"cuda_max_good": {"gte": 12, "gt": 12}}', 12.1),
        ('{"cuda_max_good": {"lte": 12}}', None),
        ('{"cuda_max_good": {"gte": "new"}}', None),
        ('{"cuda_max_good": {"gte": 1e400}}', None),
        ('{"compute_cap": {"gte": 800}}', None),
    ],
)
def test_what_is_asked_of_cuda_is_told(text: str, least: float | None) -> None:
    clauses = filters.parse(text)
    assert clauses is not None
    assert filters.least_cuda(clauses) == least


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
_PROPERTY = st.sampled_from([*HOST, "unheard_of"])
_FILTERS = st.dictionaries(
    _PROPERTY, st.dictionaries(st.sampled_from([*filters.OPERATORS, "like"]), _JSON, max_size=3), max_size=4
)
_VALUES = st.text(max_size=8) | st.integers() | st.floats() | st.booleans()


@given(
    st.text(max_size=200) | _JSON.map(json.dumps) | _FILTERS.map(json.dumps),
    st.dictionaries(_PROPERTY, _VALUES),
)
def test_whatever_stands_there_is_read_or_refused(text: str, host: dict[str, Any]) -> None:
    clauses = filters.parse(text)
    assert filters.fitting(text)(host) in {True, False}
    if clauses is None:
        assert not filters.fitting(text)(host)
    else:
        assert filters.fitting(text)({})
        least = filters.least_cuda(clauses)
        assert least is None or abs(least) < float("inf")


@given(_FILTERS, st.dictionaries(_PROPERTY, _VALUES))
def test_more_clauses_fit_no_more_hosts(wanted: dict[str, Any], host: dict[str, Any]) -> None:
    whole = filters.parse(json.dumps(wanted))
    if whole is not None and filters.fits(whole, host):
        for name in wanted:
            fewer = {other: clauses for other, clauses in wanted.items() if other != name}
            assert filters.fitting(json.dumps(fewer))(host)
