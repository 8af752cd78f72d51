"""Actions on instances: one is an answer of its own, several are done one by one, each for itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from berth.base.db import DatabaseUnavailable, Tx
from berth.core import instances, volumes
from berth.core.errors import Conflict, Forbidden, Refusal, Unavailable
from berth.core.instances import Instance, Status
from berth.core.volumes import Fate
from berth.faces.face import Call, Sent
from berth.faces.verda import errors, words
from berth.faces.verda.instances import showing, translate, wire

ALREADY_SO = 204
PARTLY = 207
_BEING_MADE = frozenset({Status.ORDERED, Status.PROVISIONING})
_ENDED = frozenset({Status.DELETING, Status.DELETED})


@dataclass(frozen=True, slots=True)
class Batch:
    """Several instances, to be acted on once the request's own transaction is over."""

    instance_ids: Sequence[str]


def act_on_instances(tx: Tx, call: Call) -> object:
    """An array of one id is one id: a refusal is the answer then."""
    request: wire.InstanceActionRequest = call.body
    wanted = words.several(request.id)
    if len(wanted) > 1:
        return Batch(wanted)
    if not act(tx, call, wanted[0], request):
        return Sent(None, ALREADY_SO)
    return [_success(wanted[0], request)]


async def act_on_each(call: Call, answered: object) -> object:
    """Each in a transaction of its own, so that one refusal leaves the others alone."""
    if not isinstance(answered, Batch):
        return answered
    request: wire.InstanceActionRequest = call.body
    results = [await _result(call, instance_id, request) for instance_id in answered.instance_ids]
    has_failed = any(result.status == "error" for result in results)
    return Sent(results, PARTLY if has_failed else None)


def act(tx: Tx, call: Call, shown_id: str, request: wire.InstanceActionRequest) -> bool:
    """Whether that changed anything. Raises whatever the verb does."""
    before = showing.find(tx, call, shown_id)
    match request.action:
        case "start" | "boot":
            after = instances.start(tx, call.by, before.id)
        case "shutdown" | "force_shutdown":
            after = instances.stop(tx, call.by, before.id, keep_reserved=True)
        case "delete" | "discontinue" | "hibernate":
            if before.status in _ENDED:
                return False
            if before.status in _BEING_MADE:
                raise Forbidden("provisioning", "Can't discontinue a provisioning instance")
            if request.action == "hibernate" and before.status is not Status.OFFLINE:
                raise Conflict("invalid_state", "Can't hibernate an instance that is not shut down")
            after = _delete(tx, call, before, request)
        case other:
            raise Forbidden("not_available", f"The action {other} is not available")
    return after.sequence != before.sequence


def _delete(tx: Tx, call: Call, made: Instance, request: wire.InstanceActionRequest) -> Instance:
    """Of its volumes those that are named go, or its OS volume where none are; the others stay, detached."""
    doomed = [] if request.action == "hibernate" else translate.doomed(request)
    is_permanent = bool(request.delete_permanently) and doomed is not None
    disk = volumes.os_volume_of(tx, made.id)
    if doomed is None:
        fate = Fate.TRASH
    elif disk is None or disk.id not in doomed:
        fate = Fate.DETACH
    else:
        fate = Fate.PURGE if is_permanent else Fate.TRASH
    return instances.delete(
        tx,
        call.by,
        made.id,
        call.context.rules,
        delete_volumes=doomed or (),
        is_permanent=is_permanent,
        os_volume=fate,
    )


async def _result(
    call: Call, shown_id: str, request: wire.InstanceActionRequest
) -> wire.InstanceActionResult:
    try:
        await call.context.db.write(act, call, shown_id, request)
    except Refusal as refusal:
        return _failure(shown_id, request, refusal)
    except DatabaseUnavailable:
        closed = Unavailable("unavailable", "The service is briefly unavailable; try again.")
        return _failure(shown_id, request, closed)
    return _success(shown_id, request)


def _success(shown_id: str, request: wire.InstanceActionRequest) -> wire.InstanceActionResult:
    return wire.InstanceActionResult(instanceId=shown_id, action=request.action, status="success")


def _failure(
    shown_id: str, request: wire.InstanceActionRequest, refusal: Refusal
) -> wire.InstanceActionResult:
    status, problem = errors.told(refusal)
    return wire.InstanceActionResult(
        instanceId=shown_id, action=request.action, status="error", error=problem.message, statusCode=status
    )
