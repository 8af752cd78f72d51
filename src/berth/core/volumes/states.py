"""Which status follows from what, and which action each allows. Pure tables."""

from berth.base.clock import Instant
from berth.core.errors import Conflict
from berth.core.volumes.model import Action, Attachment, Link, Status, Volume, Wanted

ENDING = frozenset({Link.DETACHING, Link.LEAVING})
_ALLOWED: dict[Status, tuple[Action, ...]] = {
    Status.ORDERED: (Action.RENAME, Action.DELETE),
    Status.CLONING: (Action.RENAME, Action.DELETE),
    Status.ATTACHING: (Action.RENAME,),
    Status.ATTACHED: (Action.DETACH, Action.RESIZE, Action.RENAME),
    Status.DETACHED: (Action.ATTACH, Action.RESIZE, Action.RENAME, Action.DELETE),
    Status.DELETED: (Action.RESTORE, Action.PURGE),
}


def status_of(volume: Volume) -> Status:
    """What a volume is, read off what is known of it. A boot disk's follows its instance's."""
    if volume.is_boot_disk:
        return volume.status
    if volume.wanted is not Wanted.KEPT and not volume.attachments:
        return Status.DELETED
    if volume.cloning_from is not None:
        return Status.CLONING
    if volume.handle is None:
        return Status.ORDERED
    links = {attachment.link for attachment in volume.attachments}
    if Link.ATTACHED in links or links & ENDING:
        return Status.ATTACHED
    return Status.ATTACHING if links else Status.DETACHED


def pending(volume: Volume) -> Action | None:
    """What was asked for and is not seen yet, where the status does not say so by itself."""
    if volume.is_boot_disk:
        return None
    if volume.status is Status.DELETED:
        return Action.PURGE if volume.wanted is Wanted.PURGED and volume.gone_at is None else None
    if volume.wanted is not Wanted.KEPT:
        return Action.DELETE
    links = {attachment.link for attachment in volume.attachments}
    if links & ENDING:
        return Action.DETACH
    if volume.status is Status.ATTACHED and links & {Link.ATTACHING, Link.BOOT}:
        return Action.ATTACH
    return Action.RESIZE if volume.wanted_size_gb > volume.size_gb else None


def allowed(volume: Volume) -> tuple[Action, ...]:
    """The actions that would change something now."""
    if volume.is_permanently_deleted:
        return ()
    if volume.is_boot_disk:
        return () if volume.status is Status.DELETED else (Action.RENAME,)
    if volume.status is not Status.DELETED:
        if volume.wanted is not Wanted.KEPT:
            return ()
        if volume.born_with is not None:
            return (Action.RENAME,)
    hindered = _hindered(volume)
    if volume.is_os_volume:
        hindered.add(Action.ATTACH)  # it is booted from, never mounted beside another's boot disk
    actions = tuple(action for action in _ALLOWED[volume.status] if action not in hindered)
    has_room = len(volume.attachments) < volume.max_attachments
    is_taken_again = volume.is_shared and volume.status in {Status.ATTACHING, Status.ATTACHED} and has_room
    return (*actions, Action.ATTACH) if is_taken_again else actions


def check(volume: Volume, action: Action) -> None:
    """Raises Conflict when `action` is not allowed now."""
    if volume.is_boot_disk and action in {Action.DELETE, Action.PURGE} and volume.instance_ids:
        raise _in_use(volume, "The boot disk of a deployment is deleted with it.")
    if volume.is_boot_disk and action not in allowed(volume):
        raise Conflict(
            "invalid_state",
            f"Cannot {action.value} the boot disk of a deployment: it goes with it.",
            status=volume.status.value,
        )
    if action in allowed(volume):
        return
    if action in {Action.DELETE, Action.ATTACH} and volume.attachments:
        raise _in_use(volume, "The volume is attached; detach it first.")
    doing = pending(volume)
    state = volume.status.value if doing is None else f"{volume.status.value}, {doing.value} under way"
    raise Conflict(
        "invalid_state",
        f"Cannot {action.value} a volume that is {state}.",
        status=volume.status.value,
        allowed=[other.value for other in allowed(volume)],
    )


def _hindered(volume: Volume) -> set[Action]:
    """What the attachments of a volume leave nothing to do of."""
    hindered = {Action.DELETE} if volume.attachments else set()
    is_let_go = all(attachment.link in ENDING for attachment in volume.attachments)
    return hindered | {Action.DETACH} if is_let_go else hindered


def _in_use(volume: Volume, message: str) -> Conflict:
    return Conflict("in_use", message, status=volume.status.value, attached_to=list(volume.instance_ids))


def work(volume: Volume) -> Attachment | None:
    """The attachment that something is to be done for next, by whoever works on the volume."""
    # What ends comes first: a volume of one instance must have left it before it reaches another.
    for link in (Link.DETACHING, Link.ATTACHING):
        for attachment in volume.attachments:
            if attachment.link is link:
                return attachment
    return None


def due_at(volume: Volume, now: Instant) -> Instant | None:
    """When something is to be done for it; None when what is seen is what is wanted."""
    if volume.is_boot_disk or volume.gone_at is not None:
        return None
    if volume.wanted is not Wanted.KEPT and not volume.attachments:
        # What was made, and whether it has grown, is found out for the trash too.
        is_open = volume.is_unresolved or volume.is_growing
        return now if volume.wanted is Wanted.PURGED or is_open else volume.purge_at
    if volume.handle is None:
        return now if volume.wanted is Wanted.KEPT else None
    has_more = volume.is_growing or volume.cloning_from is not None or work(volume) is not None
    return now if has_more else None
