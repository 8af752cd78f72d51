"""Whether what a create was to make is there, and when it is certain that it is not."""

from berth.base.clock import seconds_between
from berth.core.driver import Driver, Sighting
from berth.core.instances import Instance
from berth.loops.calls import SENT_WITHIN_S
from berth.loops.world import World


async def look_for(world: World, driver: Driver, instance: Instance) -> tuple[Sighting | None, bool]:
    """What the provider has of it and, when that is nothing, whether it is certain.

    One answer proves no absence: a complete listing must lack it too, after a new instance would surely show.
    """
    label, handle = instance.label(world.install_id), instance.handle
    sighting = await driver.inspect(label, handle)
    if sighting is not None or not would_show(world, driver, instance):
        return sighting, False
    listing = await driver.list_own(world.install_id)
    for listed in listing.sightings:
        if listed.handle == handle or (handle is None and listed.label == label):
            return listed, False
    return None, listing.is_complete


def would_show(world: World, driver: Driver, instance: Instance) -> bool:
    """Whether something that the create of `create_sent_at` made would certainly be found by now."""
    lag_s = driver.abilities.appears_within_s
    if instance.create_sent_at is None or lag_s == 0:
        return True
    return age_s(world, instance) > SENT_WITHIN_S + world.patience.call_s + lag_s


def age_s(world: World, instance: Instance) -> int:
    """Seconds since the create was intended."""
    sent_at = instance.create_sent_at
    return 0 if sent_at is None else seconds_between(sent_at, world.clock.now())
