"""The verbs of tags. Whether the thing exists, and is the actor's, is what the caller has looked up."""

import re
from collections.abc import Mapping, Sequence

from berth.base import ids
from berth.base.db import Tx
from berth.core import projects
from berth.core.errors import Conflict, Invalid, NotFound
from berth.core.events import Actor, record
from berth.core.tags import store
from berth.core.tags.model import Kind, Tag

TAGS_PER_THING = 10
_KEY = re.compile(r"[a-z0-9._:+-]{1,63}", re.ASCII)
_VALUE_LIMIT = 127
_LISTED = 100_000


def add(tx: Tx, by: Actor, kind: Kind, subject: str, key: str, value: str = "") -> Tag:
    """Puts a tag on a thing. Raises Invalid, and Conflict (duplicate, quota)."""
    by.may(kind.scope)
    key = check(key, value)
    projects.lock(tx, by)
    known = store.of_thing(tx, subject, limit=TAGS_PER_THING)
    if any(tag.key == key for tag in known):
        raise Conflict("duplicate", f"A tag with the key {key!r} exists already.")
    if len(known) >= TAGS_PER_THING:
        raise Conflict("quota", f"At most {TAGS_PER_THING} tags; delete one first.")
    tag = Tag(ids.new(tx.now), by.project, kind, subject, key, value, tx.now)
    store.insert(tx, tag)
    record(tx, by, "tag.created", subject=tag.id, data={"tagged": subject, "key": key, "value": value})
    return tag


def check(key: str, value: str, field: str = "") -> str:
    """The key as it is kept. Raises Invalid; `field` is put before the member's name."""
    lowered = key.lower()
    if not _KEY.fullmatch(lowered):
        message = f"{field}key must be 1 to 63 letters, digits, dots, dashes, underscores, colons and pluses."
        raise Invalid("invalid_field", message, field=f"{field}key")
    if len(value) > _VALUE_LIMIT or not value.isprintable():
        message = f"{field}value must be at most {_VALUE_LIMIT} printable characters."
        raise Invalid("invalid_field", message, field=f"{field}value")
    return lowered


def remove(tx: Tx, by: Actor, kind: Kind, subject: str, key: str) -> None:
    """Raises NotFound, also the second time."""
    by.may(kind.scope)
    found = [tag for tag in store.of_thing(tx, subject, limit=TAGS_PER_THING) if tag.key == key.lower()]
    if not found or not store.delete(tx, subject, found[0].key):
        raise NotFound("tag_not_found", "Tag not found.")
    record(tx, by, "tag.deleted", subject=found[0].id, data={"tagged": subject, "key": found[0].key})


def of_thing(tx: Tx, subject: str) -> Sequence[Tag]:
    """In the order of their keys."""
    return store.of_thing(tx, subject, limit=TAGS_PER_THING)


def of_kind(tx: Tx, by: Actor, kind: Kind) -> Mapping[str, Sequence[Tag]]:
    """All tags on the project's things of a kind, by the thing's id; for a list of them."""
    found: dict[str, list[Tag]] = {}
    for tag in store.of_kind(tx, by.project, kind, limit=_LISTED):
        found.setdefault(tag.subject, []).append(tag)
    return found
