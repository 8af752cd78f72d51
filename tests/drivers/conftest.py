"""Ends what the tests of a driver share, after the last of them."""

from collections.abc import Iterator

import pytest

from tests.drivers.incus.rig import SHARED


@pytest.fixture(scope="session", autouse=True)
def no_cluster_stays() -> Iterator[None]:
    yield
    SHARED.end()
