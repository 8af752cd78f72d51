"""What is told of an instance when something happens to it.

An event holds the instance as it was at that moment: whoever is told of it later, and more than once, is told
the same, whatever has become of the instance since.
"""

from berth.base.db import Tx
from berth.core import events
from berth.core.events import Actor
from berth.core.instances.model import Instance, Status


def announce(
    tx: Tx,
    by: Actor,
    event: str,
    instance: Instance,
    *,
    previous: Status | None = None,
    reason: str | None = None,
    **more: object,
) -> None:
    """Records `event` for `instance` as it is now, its sequence counted up already. `more` is plain JSON."""
    told: dict[str, object | None] = {
        "status": instance.status.value,
        "previous_status": None if previous is None else previous.value,
        "reason": reason,
        "provider_id": instance.handle,
        "instance_type": instance.instance_type,
        "hostname": instance.hostname,
        "image": instance.image,
        "location": instance.location,
        "ip": instance.ip if instance.status is Status.RUNNING else None,
        "ssh_user": instance.ssh_user,
    }
    data = {name: value for name, value in told.items() if value is not None} | more
    if instance.cluster_id is not None:
        tx.signal("clusters")
    events.record(tx, by, event, subject=instance.id, sequence=instance.sequence, data=data)
