"""A world for each test, on both engines."""

import pytest

from berth.base.db import Database
from tests.world.provider import Provider
from tests.world.world import Turnable, World


@pytest.fixture
def provider(clock: Turnable) -> Provider:
    """The provider of `world`: one H100 offer with eight units, no faults."""
    return Provider(clock)


@pytest.fixture
def world(db: Database, clock: Turnable, provider: Provider) -> World:
    return World(db, clock, provider)
