"""Actions on volumes: one or several, and all of them or none."""

from typing import NoReturn

from berth.base.db import Tx
from berth.core import catalog, instances, volumes
from berth.core.errors import Forbidden, Invalid
from berth.faces.face import Call
from berth.faces.verda import words
from berth.faces.verda.instances import showing
from berth.faces.verda.volumes import handlers, translate, wire


def act_on_volumes(tx: Tx, call: Call) -> object:
    request: wire.VolumeActionRequest = call.body
    wanted = words.several(request.id)
    if request.action == "clone":
        return [_clone(tx, call, handlers.volume_id_of(each), request) for each in wanted]
    # In one order, so that two requests for the same volumes never wait for each other.
    volume_ids = sorted(handlers.volume_id_of(each) for each in wanted)
    for volume_id in volume_ids:
        _act(tx, call, volume_id, request)
    return None


def _act(tx: Tx, call: Call, volume_id: str, request: wire.VolumeActionRequest) -> None:
    match request.action:
        case "attach":
            _attach(tx, call, volume_id, request)
        case "detach":
            _detach(tx, call, volume_id, request)
        case "rename":
            volumes.rename(tx, call.by, volume_id, request.name or _missing("name"))
        case "resize":
            size = _missing("size") if request.size is None else request.size
            volumes.resize(tx, call.by, volume_id, words.size_gb(size))
        case "delete":
            handlers.delete(tx, call, volume_id, is_permanent=bool(request.is_permanent))
        case "restore":
            volumes.restore(tx, call.by, volume_id)
        case "cancel":
            volumes.cancel_clone(tx, call.by, volume_id)
        case other:
            raise Forbidden("not_available", f"The action {other} is not available")


def _clone(tx: Tx, call: Call, volume_id: str, request: wire.VolumeActionRequest) -> str:
    """The id of the copy. A client of the vendor's puts the location where the type belongs."""
    source = volumes.get(tx, call.by, volume_id)
    wanted = [each for each in (request.location_code, request.type) if each]
    elsewhere = [each for each in wanted if each != source.location and catalog.find_location(tx, each)]
    if elsewhere or request.location_code not in {None, "", source.location}:
        message = f"location_code: volumes are copied in their own location, which is {source.location}."
        raise Invalid("invalid_field", message, field="location_code")
    kind = None if request.type == source.location else words.optional(request.type)
    made = instances.clone_volume(tx, call.by, volume_id, name=words.optional(request.name), type=kind)
    return words.shown(made.id)


def _attach(tx: Tx, call: Call, volume_id: str, request: wire.VolumeActionRequest) -> None:
    wanted = translate.hosts(request.instance_id, request.instance_ids)
    if not wanted:
        _missing("instance_id")
    volumes.get(tx, call.by, volume_id)
    for host in showing.shut_down(tx, call, wanted):
        instances.attach_volume(tx, call.by, volume_id, host.id)


def _detach(tx: Tx, call: Call, volume_id: str, request: wire.VolumeActionRequest) -> None:
    """From the instances that are named, or from all that have it."""
    wanted = translate.hosts(request.instance_id, request.instance_ids)
    if not wanted:
        wanted = words.shown_all(volumes.get(tx, call.by, volume_id).instance_ids)
    for host in showing.shut_down(tx, call, wanted):
        instances.detach_volume(tx, call.by, volume_id, host.id)


def _missing(field: str) -> NoReturn:
    raise Invalid("missing_field", f"{field} is required", field=field)
