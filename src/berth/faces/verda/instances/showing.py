"""Instances as every section of this API sees them."""

from collections.abc import Sequence

from berth.base import ids
from berth.base.db import Tx
from berth.core import instances, volumes
from berth.core.errors import Conflict
from berth.core.instances import Instance, Status
from berth.core.tags import Kind
from berth.faces.face import Call
from berth.faces.verda import tagging
from berth.faces.verda.instances import translate, wire
from berth.faces.verda.wire import Tag


def show(tx: Tx, call: Call, made: Instance, tags: Sequence[Tag] | None = None) -> wire.Instance:
    """`tags` where they are known already."""
    disk = volumes.os_volume_of(tx, made.id)
    status = translate.status_of(made, tx.now, call.context.policy.shown_provisioning_s)
    if tags is None:
        tags = tagging.of(tx, call, Kind.INSTANCE, [made.id]).get(made.id, ())
    return translate.instance(made, None if disk is None else disk.id, status, tags)


def find(tx: Tx, call: Call, shown_id: str) -> Instance:
    """The instance that a path or body means. Raises NotFound, also for what cannot be an id."""
    return instances.get(tx, call.by, ids.of_uuid(shown_id) or "")


def shut_down(tx: Tx, call: Call, shown_ids: Sequence[str]) -> list[Instance]:
    """The instances, whose volumes may change because they are off. Raises NotFound, Conflict.

    In the order of their ids, in which everybody locks them.
    """
    found = [find(tx, call, shown_id) for shown_id in shown_ids]
    if any(made.status is not Status.OFFLINE for made in found):
        raise Conflict("not_shut_down", "One or more of the specified instances is not shut down")
    return sorted(found, key=lambda made: made.id)
