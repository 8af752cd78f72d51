"""Tags in what every section shows and takes."""

from collections.abc import Mapping, Sequence

from berth.base.db import Tx
from berth.core import tags
from berth.core.tags import Kind
from berth.faces.face import Call
from berth.faces.verda import words
from berth.faces.verda.wire import NewTag, Tag

_FEW = 5
"""Up to so many are asked for one by one."""


def put(tx: Tx, call: Call, kind: Kind, subject: str, wanted: Sequence[NewTag] | None) -> None:
    """The tags that a thing is made with. Raises Invalid, Conflict."""
    for tag in wanted or ():
        tags.add(tx, call.by, kind, subject, tag.key, tag.value or "")


def of(tx: Tx, call: Call, kind: Kind, subjects: Sequence[str]) -> Mapping[str, Sequence[Tag]]:
    """Those of several things, by the thing's id."""
    if len(subjects) <= _FEW:
        found: Mapping[str, Sequence[tags.Tag]] = {each: tags.of_thing(tx, each) for each in subjects}
    else:
        found = tags.of_kind(tx, call.by, kind)
    return {
        subject: [Tag(id=words.shown(tag.id), key=tag.key, value=tag.value) for tag in put_on]
        for subject, put_on in found.items()
        if put_on
    }
