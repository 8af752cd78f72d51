"""Volumes and volume types: translate, one verb, translate."""

from berth.base import paging
from berth.base.db import Tx
from berth.base.paging import After
from berth.core import catalog, instances, volumes
from berth.core.errors import Invalid
from berth.core.volumes import Volume
from berth.faces.face import Call
from berth.faces.huddle import words
from berth.faces.huddle.envelope import Paged
from berth.faces.huddle.volumes import translate, wire
from berth.faces.huddle.words import VOLUME

_BARE = {"restore": volumes.restore, "delete": volumes.trash, "purge": volumes.purge}
"""The actions that name nothing but the volume."""


def create_volume(tx: Tx, call: Call) -> wire.Volume:
    request: wire.VolumeRequest = call.body
    made = instances.create_volume(
        tx, call.by, translate.new_volume(request), request.location, translate.hosts(request)
    )
    return translate.volume(made)


def list_volumes(tx: Tx, call: Call) -> Paged:
    query: wire.VolumesQuery = call.query
    catalog.check_location(tx, query.location)
    wanted = translate.filter_of(query)
    listing = f"volumes {wanted}"
    page = volumes.list_page(tx, call.by, wanted, after=words.after(query.cursor, listing), limit=query.limit)
    last = page.rows[-1] if page.has_more else None
    return Paged(
        [translate.volume(made) for made in page.rows],
        total=page.total,
        cursor=None if last is None else paging.encode(After(last.created_at, last.id), listing),
        has_more=page.has_more,
        limit=query.limit,
        is_nestable=True,
    )


def get_volume(tx: Tx, call: Call) -> wire.Volume:
    return translate.volume(volumes.get(tx, call.by, _volume_id(call)))


def act_on_volume(tx: Tx, call: Call) -> wire.Volume:
    request: wire.VolumeActionRequest = call.body
    return translate.volume(_act(tx, call, _volume_id(call), request))


def delete_volume(tx: Tx, call: Call) -> wire.Volume:
    query: wire.DeleteVolumeQuery = call.query
    request: wire.DeleteVolumeRequest = call.body
    verb = volumes.purge if query.permanent or request.is_permanent else volumes.trash
    return translate.volume(verb(tx, call.by, _volume_id(call)))


def list_volume_types(tx: Tx, call: Call) -> list[wire.VolumeType]:
    return translate.volume_types(catalog.volume_types(tx, call.by))


def _act(tx: Tx, call: Call, volume_id: str, request: wire.VolumeActionRequest) -> Volume:
    match request.action:
        case "attach":
            instance_id = translate.host(request)
            if instance_id is None:
                raise _missing("deployment_id")
            return instances.attach_volume(tx, call.by, volume_id, instance_id)
        case "detach":
            return instances.detach_volume(tx, call.by, volume_id, translate.host(request))
        case "resize":
            if request.size is None:
                raise _missing("size")
            return volumes.resize(tx, call.by, volume_id, request.size)
        case "rename":
            if request.name is None:
                raise _missing("name")
            return volumes.rename(tx, call.by, volume_id, request.name)
        case "restore" | "delete" | "purge":
            return _BARE[request.action](tx, call.by, volume_id)


def _missing(field: str) -> Invalid:
    return Invalid("missing_field", f"{field} is required", field=field)


def _volume_id(call: Call) -> str:
    return words.core_id(VOLUME, call.parameters["id"], "Volume")
