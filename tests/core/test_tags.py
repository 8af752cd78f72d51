"""Tags on things: their keys, their number, and whose they are."""

import pytest

from berth.base.db import Database
from berth.core import tags
from berth.core.errors import Conflict, Forbidden, Invalid, NotFound
from berth.core.tags import TAGS_PER_THING, Kind
from tests import make

THING = "01KMHDX2G0QZ4RRTP0M9YVWDEB"


def test_a_tag_is_kept_with_its_key_in_lower_case(db: Database) -> None:
    by = make.project(db).by
    made = db.write_now(tags.add, by, Kind.INSTANCE, THING, "Team.Name", "Blue")
    assert (made.key, made.value, made.subject) == ("team.name", "Blue", THING)
    assert db.read_now(tags.of_thing, THING) == [made]
    assert db.read_now(tags.of_kind, by, Kind.INSTANCE) == {THING: [made]}
    assert db.read_now(tags.of_kind, by, Kind.VOLUME) == {}
    assert db.read_now(tags.of_kind, make.project(db).by, Kind.INSTANCE) == {}


def test_a_key_is_there_once_whatever_its_case(db: Database) -> None:
    by = make.project(db).by
    db.write_now(tags.add, by, Kind.VOLUME, THING, "team", "blue")
    with pytest.raises(Conflict) as refused:
        db.write_now(tags.add, by, Kind.VOLUME, THING, "TEAM", "red")
    assert refused.value.code == "duplicate"
    db.write_now(tags.add, by, Kind.VOLUME, "01KMHDX2G0QZ4RRTP0M9YVWDEC", "team", "red")


def test_a_thing_has_at_most_ten_tags(db: Database) -> None:
    by = make.project(db).by
    for number in range(TAGS_PER_THING):
        db.write_now(tags.add, by, Kind.CLUSTER, THING, f"key-{number}")
    with pytest.raises(Conflict) as refused:
        db.write_now(tags.add, by, Kind.CLUSTER, THING, "one-more")
    assert refused.value.code == "quota"
    db.write_now(tags.remove, by, Kind.CLUSTER, THING, "KEY-0")
    db.write_now(tags.add, by, Kind.CLUSTER, THING, "one-more")
    with pytest.raises(NotFound):
        db.write_now(tags.remove, by, Kind.CLUSTER, THING, "key-0")


@pytest.mark.parametrize("key", ["", "x" * 64, "a b", "a/b", "é", "a\n", "'", "\0"])
def test_a_key_that_no_path_could_name_is_refused(db: Database, key: str) -> None:
    with pytest.raises(Invalid) as refused:
        db.write_now(tags.add, make.project(db).by, Kind.INSTANCE, THING, key)
    assert refused.value.details["field"] == "key"


@pytest.mark.parametrize("value", ["x" * 128, "a\nb", "\0"])
def test_a_value_that_is_too_long_or_no_text_is_refused(db: Database, value: str) -> None:
    with pytest.raises(Invalid) as refused:
        db.write_now(tags.add, make.project(db).by, Kind.INSTANCE, THING, "key", value)
    assert refused.value.details["field"] == "value"
    db.write_now(tags.add, make.project(db).by, Kind.INSTANCE, THING, "k" * 63, "é" * 127)


@pytest.mark.parametrize(
    ("kind", "scope"),
    [
        (Kind.INSTANCE, "deployments:write"),
        (Kind.VOLUME, "volumes:write"),
        (Kind.CLUSTER, "deployments:write"),
    ],
)
def test_whoever_may_change_a_thing_may_tag_it(db: Database, kind: Kind, scope: str) -> None:
    by = make.project(db).by
    db.write_now(tags.add, make.allowed(by, scope), kind, THING, "key")
    other = "volumes:write" if scope == "deployments:write" else "deployments:write"
    with pytest.raises(Forbidden):
        db.write_now(tags.add, make.allowed(by, other), kind, THING, "other")
    with pytest.raises(Forbidden):
        db.write_now(tags.remove, make.allowed(by, other), kind, THING, "key")
