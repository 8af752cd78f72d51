"""What keeps a customer from paying twice by mistake: hostnames that are taken, and orders that look like repeats."""

from dataclasses import replace

from berth.base.db import Tx
from berth.core import catalog, projects
from berth.core.errors import Conflict
from berth.core.events import Actor
from berth.core.instances import store
from berth.core.instances.announcing import announce
from berth.core.instances.model import Instance, OrderSpec


def check_hostname(tx: Tx, by: Actor, spec: OrderSpec, *, is_taken_now: bool = True) -> None:
    """Raises Conflict when the project wants hostnames to be its only ones and an active instance has this one.

    Whoever does not go on to take it locks nothing.
    """
    if not projects.preferences(tx, by.project).unique_active_hostname:
        return
    if is_taken_now:
        catalog.lock_line(tx, spec.instance_type)
        projects.lock(tx, by)
    taken_by = store.find_active(tx, by.project, spec.hostname)
    if taken_by is not None:
        raise Conflict(
            "duplicate",
            f"hostname: {spec.hostname!r} is the hostname of an active deployment.",
            field="hostname",
            existing_instance_id=taken_by,
        )


def check_alone(instance: Instance) -> None:
    """Raises Conflict for a member of a cluster: what is done is done with all of them."""
    if instance.cluster_id is not None:
        raise Conflict(
            "cluster_member",
            "This instance belongs to a cluster: it changes and ends with that.",
            status=instance.status.value,
        )


def check_power(instance: Instance, *, is_asked: bool = True) -> None:
    """Raises Conflict for a session, where it is its owner who asks: it is on until it ends."""
    if instance.is_session and is_asked:
        raise Conflict(
            "not_supported",
            "This instance is a session: it runs until it ends, and ends at the time of its session.",
            status=instance.status.value,
        )


def suspect_twin(tx: Tx, by: Actor, instance: Instance, twin_id: str) -> Instance:
    """Warns that the same order was accepted moments before: its sender may have lost the answer."""
    warned = replace(instance, sequence=instance.sequence + 1)
    store.update(tx, warned.id, sequence=warned.sequence)
    announce(tx, by, "instance.possible_duplicate", warned, twin_instance_id=twin_id)
    return warned
