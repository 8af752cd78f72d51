"""Volumes: translate, one verb, translate."""

from collections.abc import Sequence

from berth.base.db import Tx
from berth.base.paging import After
from berth.core import instances, volumes
from berth.core.errors import NotFound
from berth.core.instances import Instance
from berth.core.tags import Kind
from berth.core.volumes import Filter, Status, Volume
from berth.faces.face import Call, Sent
from berth.faces.verda import tagging, words
from berth.faces.verda.envelope import Bare
from berth.faces.verda.instances import showing
from berth.faces.verda.volumes import translate, wire

ALREADY_SO = 204
_PAGE = 500
_PAGES = 10
"""Of a list that this API does not page."""
_NO_VOLUME = ("volume_not_found", "Invalid volume id")

Shown = wire.Volume | wire.DeletedVolume
SHOWN = (wire.Volume, wire.DeletedVolume)


def list_volumes(tx: Tx, call: Call) -> list[Shown]:
    query: wire.VolumesQuery = call.query
    if query.status is None:
        return _shown_all(tx, call, _all(tx, call, None))
    found = _all(tx, call, translate.seen_as(query.status))
    return _shown_all(tx, call, [made for made in found if translate.status_of(made) == query.status])


def list_trash(tx: Tx, call: Call) -> list[Shown]:
    found = _all(tx, call, frozenset({Status.DELETED}))
    return _shown_all(tx, call, [made for made in found if not made.is_permanently_deleted])


def get_volume(tx: Tx, call: Call) -> Shown:
    return _shown_all(tx, call, [find(tx, call, call.parameters["id"])])[0]


def create_volume(tx: Tx, call: Call) -> Bare:
    request: wire.NewVolumeRequest = call.body
    hosts = showing.shut_down(tx, call, translate.hosts(request.instance_id, request.instance_ids))
    made = instances.create_volume(
        tx, call.by, translate.new_volume(request), request.location_code, [host.id for host in hosts]
    )
    tagging.put(tx, call, Kind.VOLUME, made.id, request.tags)
    return Bare(words.shown(made.id))


def delete_volume(tx: Tx, call: Call) -> Sent:
    request: wire.DeleteVolumeRequest = call.body
    volume_id = volume_id_of(call.parameters["id"])
    before = volumes.get(tx, call.by, volume_id)
    after = delete(tx, call, volume_id, is_permanent=bool(request.is_permanent))
    return Sent(None, ALREADY_SO if after.sequence == before.sequence else None)


def delete(tx: Tx, call: Call, volume_id: str, *, is_permanent: bool) -> Volume:
    return (volumes.purge if is_permanent else volumes.trash)(tx, call.by, volume_id)


def find(tx: Tx, call: Call, shown_id: str) -> Volume:
    """The volume that a path or body means. Raises NotFound."""
    return volumes.get(tx, call.by, volume_id_of(shown_id))


def volume_id_of(text: str) -> str:
    """Raises NotFound for what cannot be an id."""
    return words.in_path(text, NotFound(*_NO_VOLUME))


def _all(tx: Tx, call: Call, statuses: frozenset[Status] | None) -> list[Volume]:
    found: list[Volume] = []
    last: After | None = None
    for _ in range(_PAGES):
        page = volumes.list_page(tx, call.by, Filter(statuses=statuses), after=last, limit=_PAGE)
        found += page.rows
        if not page.has_more:
            break
        last = After(page.rows[-1].created_at, page.rows[-1].id)
    return found


def _shown_all(tx: Tx, call: Call, found: Sequence[Volume]) -> list[Shown]:
    known: dict[str, tuple[Instance, wire.Host]] = {}
    tagged = tagging.of(tx, call, Kind.VOLUME, [made.id for made in found])
    return [
        translate.volume(
            made,
            [_host(tx, call, known, instance_id) for instance_id in made.instance_ids],
            tagged.get(made.id, ()),
        )
        for made in found
    ]


def _host(
    tx: Tx, call: Call, known: dict[str, tuple[Instance, wire.Host]], instance_id: str
) -> tuple[Instance, wire.Host]:
    """An instance that has a volume, looked up once for a whole list."""
    found = known.get(instance_id)
    if found is None:
        made = instances.get(tx, call.by, instance_id)
        shown = showing.show(tx, call, made)
        found = known[instance_id] = (
            made,
            wire.Host(
                id=shown.id,
                auto_rental_extension=None,
                ip=shown.ip,
                instance_type=shown.instance_type,
                status=shown.status,
                os_volume_id=shown.os_volume_id,
                hostname=shown.hostname,
            ),
        )
    return found
