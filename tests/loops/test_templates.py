"""Templates are asked for once an hour, and stand while their provider is silent."""

from dataclasses import replace

import pytest

from berth.core.driver import DriverError, RateLimited, Unreachable
from tests import make
from tests.conftest import FakeClock
from tests.world import truth
from tests.world.provider import Provider
from tests.world.world import World


@pytest.fixture
def keeper(provider: Provider) -> Provider:
    provider.abilities = replace(provider.abilities, templates=True)
    provider.kept_templates = [make.template("a")]
    return provider


def kept(world: World) -> list[object]:
    return [row[0] for row in truth.rows(world.db, "SELECT hash_id FROM templates ORDER BY place")]


async def test_they_are_asked_for_again_when_they_are_an_hour_old(
    world: World, keeper: Provider, clock: FakeClock
) -> None:
    await world.tick("templates")
    assert kept(world) == ["a"]
    keeper.kept_templates = [make.template("b"), make.template("a")]
    clock.advance(seconds=3599)
    await world.tick("templates")
    assert kept(world) == ["a"]
    clock.advance(seconds=1)
    await world.tick("templates")
    assert kept(world) == ["b", "a"]


@pytest.mark.parametrize("error", [Unreachable("away"), RateLimited("slow", retry_after_s=9), TimeoutError()])
async def test_what_a_silent_provider_kept_stands_and_it_is_asked_again_soon(
    world: World, keeper: Provider, clock: FakeClock, error: DriverError
) -> None:
    await world.tick("templates")
    clock.advance(seconds=3600)
    keeper.kept_templates = []
    keeper.breaks("templates", error)
    await world.tick("templates")
    assert kept(world) == ["a"]
    await world.tick("templates")
    assert kept(world) == []


async def test_who_keeps_none_is_not_asked(world: World, provider: Provider) -> None:
    provider.breaks("templates", AssertionError("asked"))
    await world.tick("templates")
    assert kept(world) == []
