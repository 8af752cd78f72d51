"""Instances: translate, one verb, translate."""

from collections.abc import Sequence
from typing import Any

from berth.base.db import Tx
from berth.base.paging import After
from berth.core import instances, tags, volumes, waitlist
from berth.core.errors import Invalid, NotFound
from berth.core.instances import Instance, Version
from berth.core.instances import Status as Seen
from berth.core.tags import Kind
from berth.faces.face import Call
from berth.faces.verda import tagging, words
from berth.faces.verda.envelope import Bare
from berth.faces.verda.instances import images, showing, translate, wire

_PAGE = 500
_PAGES = 20
"""Of a list that this API does not page."""


def deploy(tx: Tx, call: Call) -> Bare:
    request: wire.DeployRequest = call.body
    image = images.meant(tx, call.by, request.image, request.instance_type)
    disk = volumes.find_bootable(tx, call.by, image)
    spec = translate.order(request, image, boots_from_disk=disk is not None)
    try:
        made = waitlist.order(tx, call.by, spec, call.context.waiting, call.context.rules)
    except Invalid as refusal:
        if (refusal.code, refusal.details.get("field")) == ("invalid_field", "image"):
            raise NotFound("image_not_found", refusal.message) from None
        raise
    tagging.put(tx, call, Kind.INSTANCE, made.id, request.tags)
    return Bare(words.shown(made.id))


def list_instances(tx: Tx, call: Call) -> Sequence[Any]:
    query: wire.InstancesQuery = call.query
    if query.status is None:
        return _listed(tx, call)
    found = [
        each
        for seen in translate.seen_as(query.status)
        for each in _all(tx, call, seen)
        if translate.status_of(each, tx.now, call.context.policy.shown_provisioning_s) == query.status
    ]
    found.sort(key=lambda made: (made.created_at, made.id), reverse=True)
    return [showing.show(tx, call, made) for made in found]


def get_instance(tx: Tx, call: Call) -> wire.Instance:
    return showing.show(tx, call, showing.find(tx, call, call.parameters["id"]))


def _listed(tx: Tx, call: Call) -> list[Any]:
    """All that are not deleted, newest first."""
    shown: list[Any] = []
    last: After | None = None
    tagged = tags.of_kind(tx, call.by, Kind.INSTANCE)
    for _ in range(_PAGES):
        page = instances.list_versions(tx, call.by, status=None, after=last, limit=_PAGE)
        # What has tags is put together each time: they change without a change of the row.
        known = [None if version.id in tagged else translate.known_instance(version) for version in page.rows]
        if None in known:
            whole = instances.list_page(tx, call.by, status=None, after=last, limit=_PAGE).rows
            shown += [
                raw or _kept(tx, call, version, made, has_tags=version.id in tagged)
                for raw, version, made in zip(known, page.rows, whole, strict=True)
            ]
        else:
            shown += known
        if not page.has_more:
            break
        last = After(page.rows[-1].created_at, page.rows[-1].id)
    return shown


def _kept(tx: Tx, call: Call, version: Version, made: Instance, *, has_tags: bool) -> object:
    shown = showing.show(tx, call, made, None if has_tags else ())
    # What is shown as provisioning for a while looks different soon, without a change of the row.
    if has_tags or shown.status == "provisioning":
        return shown
    return translate.listed_instance(version, shown)


def _all(tx: Tx, call: Call, status: Seen) -> list[Instance]:
    found: list[Instance] = []
    last: After | None = None
    for _ in range(_PAGES):
        page = instances.list_page(tx, call.by, status=status, after=last, limit=_PAGE)
        found += page.rows
        if not page.has_more:
            break
        last = After(page.rows[-1].created_at, page.rows[-1].id)
    return found
