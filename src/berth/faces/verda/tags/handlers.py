"""Tags: the thing is looked up, then translate, one verb, translate."""

from collections.abc import Callable

from berth.base.db import Tx
from berth.core import tags
from berth.core.tags import Kind
from berth.faces.face import Call
from berth.faces.verda import words
from berth.faces.verda.clusters import handlers as clusters
from berth.faces.verda.instances import showing
from berth.faces.verda.volumes import handlers as volumes
from berth.faces.verda.wire import NewTag, Tag


def tag_instance(tx: Tx, call: Call) -> Tag:
    return _tag(tx, call, Kind.INSTANCE)


def untag_instance(tx: Tx, call: Call) -> None:
    _untag(tx, call, Kind.INSTANCE)


def tag_volume(tx: Tx, call: Call) -> Tag:
    return _tag(tx, call, Kind.VOLUME)


def untag_volume(tx: Tx, call: Call) -> None:
    _untag(tx, call, Kind.VOLUME)


def tag_cluster(tx: Tx, call: Call) -> Tag:
    return _tag(tx, call, Kind.CLUSTER)


def untag_cluster(tx: Tx, call: Call) -> None:
    _untag(tx, call, Kind.CLUSTER)


def _tag(tx: Tx, call: Call, kind: Kind) -> Tag:
    request: NewTag = call.body
    made = tags.add(tx, call.by, kind, _SUBJECTS[kind](tx, call), request.key, request.value or "")
    return Tag(id=words.shown(made.id), key=made.key, value=made.value)


def _untag(tx: Tx, call: Call, kind: Kind) -> None:
    tags.remove(tx, call.by, kind, _SUBJECTS[kind](tx, call), call.parameters["key"])


def _instance(tx: Tx, call: Call) -> str:
    return showing.find(tx, call, call.parameters["id"]).id


def _volume(tx: Tx, call: Call) -> str:
    return volumes.find(tx, call, call.parameters["id"]).id


def _cluster(tx: Tx, call: Call) -> str:
    return clusters.find(tx, call, call.parameters["id"]).cluster.id


_SUBJECTS: dict[Kind, Callable[[Tx, Call], str]] = {
    Kind.INSTANCE: _instance,
    Kind.VOLUME: _volume,
    Kind.CLUSTER: _cluster,
}
"""The core id of what a path names. Raises NotFound."""
