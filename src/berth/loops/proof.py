"""What shows that an instance runs: its SSH server greets, a login works, or its own server answers over HTTP."""

from enum import StrEnum

from berth.base.login import Outcome
from berth.core import measures
from berth.core.driver import Power, Sighting
from berth.core.instances import Instance
from berth.loops.world import World

HEALTH_EVERY_S = 15.0
_ECHO = "echo berth"
_ECHOED = "berth"


class Proof(StrEnum):
    GIVEN = "given"
    NOT_YET = "not_yet"
    REFUSED = "refused"
    """Its SSH server is there and lets nobody in."""


def is_served(instance: Instance) -> bool:
    """Whether nobody logs in: its own server is asked instead."""
    return instance.launch is not None and instance.launch.is_entrypoint


async def seek(world: World, instance: Instance, sighting: Sighting) -> Proof:
    """One look. Sessions have to let us in: what only greets may have somebody else's keys."""
    if sighting.power is not Power.RUNNING or not sighting.ip:
        return Proof.NOT_YET
    if is_served(instance):
        return await _served(world, instance, sighting)
    if not sighting.ssh_port:
        return Proof.NOT_YET
    if not instance.is_session:
        is_there = await world.probe(sighting.ip, sighting.ssh_port, world.patience.probe_s)
        return Proof.GIVEN if is_there else Proof.NOT_YET
    user = sighting.ssh_user or instance.ssh_user
    answer = await world.login(sighting.ip, sighting.ssh_port, user, _ECHO, world.patience.login_s)
    if answer.outcome is not Outcome.DONE:
        world.meters.add(measures.SSH_ERRORS, provider=instance.provider, error_type=answer.outcome.value)
    if answer.outcome is Outcome.REFUSED:
        return Proof.REFUSED
    is_in = answer.outcome is Outcome.DONE and _ECHOED in answer.output
    return Proof.GIVEN if is_in else Proof.NOT_YET


async def _served(world: World, instance: Instance, sighting: Sighting) -> Proof:
    assert instance.launch is not None
    inside = next(iter(instance.launch.ports), None)
    port = None if inside is None else sighting.ports.get(inside)
    if port is None or sighting.ip is None:
        return Proof.NOT_YET
    is_alive = await world.health(sighting.ip, port, world.patience.login_s)
    return Proof.GIVEN if is_alive else Proof.NOT_YET
