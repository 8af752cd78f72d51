"""Which state follows which, and which action each allows. Pure tables."""

from berth.base.clock import Instant
from berth.core.driver import Abilities
from berth.core.errors import Conflict
from berth.core.instances.model import Action, Instance, Status, Wanted

FAILED = frozenset({Status.ERROR, Status.FAILED_NO_CAPACITY})
STANDING = frozenset({Status.RUNNING, Status.OFFLINE})
"""It was reached once and should be there: if its provider lacks it, it was lost."""
ENDED = FAILED | {Status.DELETED}
_ALLOWED: dict[Status, tuple[Action, ...]] = {
    Status.ORDERED: (Action.DELETE,),
    Status.PROVISIONING: (Action.DELETE,),
    Status.RUNNING: (Action.STOP, Action.RESTART, Action.DELETE),
    Status.OFFLINE: (Action.START, Action.DELETE),
    Status.ERROR: (Action.DELETE,),
    Status.FAILED_NO_CAPACITY: (Action.DELETE,),
    Status.DELETING: (),
    Status.DELETED: (),
}
_OF_POWER = frozenset({Action.START, Action.STOP})
"""What a session's owner cannot ask for: it is on until it ends."""
_DONE = {
    Action.START: "started",
    Action.STOP: "stopped",
    Action.RESTART: "restarted",
    Action.DELETE: "deleted",
}


def allowed(instance: Instance, abilities: Abilities) -> tuple[Action, ...]:
    """The actions that would change something now, at a provider of these `abilities`."""
    if pending(instance) is not None and instance.status is not Status.DELETING:
        return (Action.DELETE,)
    return tuple(
        action
        for action in _ALLOWED[instance.status]
        if is_able(abilities, action) and not (instance.is_session and action in _OF_POWER)
    )


def is_able(abilities: Abilities, action: Action) -> bool:
    """Whether the provider can do that at all."""
    if action is Action.RESTART:
        return abilities.restart
    return abilities.stop if action in {Action.STOP, Action.START} else True


def pending(instance: Instance) -> Action | None:
    """What was asked for and is not seen yet."""
    if instance.status is Status.RUNNING:
        if instance.wanted is Wanted.OFFLINE:
            return Action.STOP
        return Action.RESTART if instance.is_restart_wanted else None
    if instance.status is Status.OFFLINE and instance.wanted is Wanted.RUNNING:
        return Action.START
    return Action.DELETE if instance.status is Status.DELETING else None


def changes(instance: Instance, action: Action, abilities: Abilities) -> bool:
    """Whether `action` asks for something new; False when it is so already. Raises Conflict when not allowed."""
    if _is_so_already(instance, action):
        return False
    able = allowed(instance, abilities)
    if action in able:
        return True
    names = [other.value for other in able]
    if pending(instance) is None and action in _ALLOWED[instance.status]:
        message = f"This instance cannot be {_DONE[action]} at its provider."
        raise Conflict("not_supported", message, allowed=names)
    doing = pending(instance)
    state = instance.status.value if doing is None else f"{instance.status.value}, {doing.value} under way"
    raise Conflict(
        "invalid_state",
        f"Cannot {action.value} an instance that is {state}.",
        status=instance.status.value,
        allowed=names,
    )


def changes_hold(instance: Instance, *, keeps: bool) -> bool:
    """Whether what is off, or about to be, would keep its hardware where it would not now, or the other way round.

    Hardware that was given back cannot be kept any more.
    """
    if instance.status is Status.OFFLINE and not instance.is_reserved:
        return False
    return instance.keeps_hardware != keeps


def boot_is_over(instance: Instance, at: Instant) -> bool:
    """Whether its boot had come to nothing by then, and was about to be given up."""
    if instance.first_running_at is not None or instance.deadline_at is None:
        return False
    return instance.deadline_at <= at


def spends(instance: Instance) -> bool:
    """Whether it runs, or is off and may still hold hardware."""
    return instance.status is Status.RUNNING or instance.wanted is Wanted.RUNNING or instance.is_reserved


def gives_back(instance: Instance) -> bool:
    """Whether it is off and its hardware, claimed until now, is to be given back."""
    return instance.status is Status.OFFLINE and instance.is_reserved and not instance.keeps_hardware


def is_settled(instance: Instance) -> bool:
    """Whether what is seen is what is wanted, so that nothing is left to do."""
    if instance.status in FAILED:
        return not instance.may_exist
    if instance.status is Status.DELETED:
        return True
    if gives_back(instance):
        return False
    return instance.wanted.value == instance.status.value and not instance.is_restart_wanted


def _is_so_already(instance: Instance, action: Action) -> bool:
    if action is Action.DELETE:
        return instance.wanted is Wanted.DELETED
    if instance.wanted is Wanted.DELETED or instance.status not in STANDING:
        return False
    if action is Action.STOP:
        return instance.wanted is Wanted.OFFLINE
    if action is Action.START:
        return instance.wanted is Wanted.RUNNING
    return instance.is_restart_wanted
