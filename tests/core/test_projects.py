"""Projects and their keys: shown once, kept as hashes, passed on in part, revoked at once."""

from functools import partial

import pytest

from berth.base.clock import DAY, MINUTE, Instant
from berth.base.db import Database
from berth.core import events, ledger, projects
from berth.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from berth.core.projects import SCOPES
from tests import make
from tests.conftest import FakeClock
from tests.core.books import rows


def authenticate(db: Database, secret: str) -> projects.ApiKey:
    return db.read_now(projects.authenticate, secret, pepper=make.PEPPER)


def refused(db: Database, secret: str) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        authenticate(db, secret)
    return refusal.value.code


def test_a_new_project_has_an_empty_account_a_full_key_and_an_oauth_client(db: Database) -> None:
    made = db.write_now(projects.create, "acme", pepper=make.PEPPER)
    key = authenticate(db, made.api_key)
    assert (key.project, key.scopes, key.name) == (made.project.id, frozenset({"*"}), "default")
    assert db.read_now(ledger.account, made.project.id).balance == 0
    assert rows(db, "SELECT id, project_id FROM oauth_clients") == [(made.client_id, made.project.id)]
    assert db.read_now(projects.find, "acme") == made.project
    assert db.read_now(projects.find, "other") is None


def test_no_secret_is_kept_anywhere(db: Database) -> None:
    customer = make.project(db)
    key, secret = make.key(db, customer.by)
    for table in ("projects", "api_keys", "oauth_clients", "events", "accounts"):
        kept = repr(rows(db, f"SELECT * FROM {table}"))
        for hidden in (
            secret,
            secret[11:],
            customer.api_key,
            customer.client_secret,
            customer.client_secret[8:],
        ):
            assert hidden not in kept
    assert secret.startswith(key.prefix)
    assert len(key.prefix) == len("mk_") + 8
    assert len(bytes.fromhex(secret.removeprefix("mk_"))) == 32


def test_a_name_is_taken_once(db: Database) -> None:
    make.project(db, "acme")
    with pytest.raises(Conflict, match="acme"):
        make.project(db, "acme")
    assert len(rows(db, "SELECT id FROM accounts")) == 1


@pytest.mark.parametrize("name", ["", "x" * 121, "a\nb", "a\0b", "\ud800"])
def test_a_name_nobody_could_read_is_refused(db: Database, name: str) -> None:
    with pytest.raises(Invalid, match="name"):
        make.project(db, name) if name else db.write_now(projects.create, name, pepper=make.PEPPER)


def test_projects_are_listed_by_name_with_their_balance(db: Database) -> None:
    for name, credit in (("b", "2"), ("a", "1"), ("c", "0")):
        make.project(db, name, credit=credit)
    listed = db.read_now(projects.list_projects)
    assert [(project.name, balance) for project, balance in listed] == [
        ("a", 10**6),
        ("b", 2 * 10**6),
        ("c", 0),
    ]
    assert [project.name for project, _ in db.read_now(projects.list_projects, after_name="a", limit=1)] == [
        "b"
    ]


@pytest.mark.parametrize("secret", ["", "mk_", "mk_" + "0" * 64, "sk_x", "mk_\x00", "mk_é"])
def test_what_opens_nothing_is_an_invalid_key(db: Database, secret: str) -> None:
    make.project(db)
    assert refused(db, secret) == "invalid_key"


def test_another_pepper_opens_nothing(db: Database) -> None:
    customer = make.project(db)
    with pytest.raises(Unauthenticated):
        db.read_now(projects.authenticate, customer.api_key, pepper=b"another")


def test_a_revoked_key_is_refused_by_the_very_next_request(db: Database) -> None:
    customer = make.project(db)
    key, secret = make.key(db, customer.by)
    assert authenticate(db, secret).id == key.id
    revoked = db.write_now(projects.revoke_key, customer.by, key.id)
    assert revoked.revoked_at is not None
    assert refused(db, secret) == "revoked_key"
    assert db.write_now(projects.revoke_key, customer.by, key.id) == revoked
    assert key.id not in {one.id for one in db.read_now(projects.list_keys, customer.by)}
    assert db.read_now(projects.get_key, customer.by, key.id) == revoked


def test_a_key_ends_at_the_instant_it_expires(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    _, secret = make.key(db, customer.by, expires_at=Instant(clock.now() + DAY))
    clock.advance(micros=DAY - 1)
    authenticate(db, secret)
    clock.advance(micros=1)
    assert refused(db, secret) == "expired_key"
    assert [key.name for key in db.read_now(projects.list_keys, customer.by)] == ["default"]


def test_a_key_cannot_end_before_it_begins(db: Database, clock: FakeClock) -> None:
    with pytest.raises(Invalid, match="expires_at"):
        make.key(db, make.project(db).by, expires_at=clock.now())


def test_a_key_passes_on_what_it_has_and_nothing_more(db: Database) -> None:
    customer = make.project(db)
    by = make.allowed(customer.by, "api_keys:write", "deployments:write", "billing:read")
    key, secret = make.key(db, by, scopes=["deployments:read", "billing:read"])
    assert key.scopes == {"deployments:read", "billing:read"}
    assert projects.actor_of(authenticate(db, secret)).scopes == key.scopes
    assert make.key(db, by)[0].scopes == by.scopes
    for scopes in (["billing:write"], ["*"], ["full"], ["read_only"], ["admin"]):
        with pytest.raises(Forbidden) as refusal:
            make.key(db, by, scopes=scopes)
        assert refusal.value.code == "missing_scope"


def test_presets_stand_for_their_scopes(db: Database) -> None:
    by = make.project(db).by
    assert make.key(db, by, scopes=["full"])[0].scopes == {"*"}
    read_only = make.key(db, by, scopes=["read_only"])[0].scopes
    assert read_only == {scope for scope in SCOPES if scope.endswith(":read")}


@pytest.mark.parametrize("scopes", [[], ["nonsense"], ["deployments"], ["deployments:read", "x:y"], [""]])
def test_scopes_nobody_knows_are_refused(db: Database, scopes: list[str]) -> None:
    with pytest.raises(Invalid, match="scopes"):
        make.key(db, make.project(db).by, scopes=scopes)


def test_without_the_scope_keys_are_neither_made_nor_seen(db: Database) -> None:
    customer = make.project(db)
    reader, nobody = make.allowed(customer.by, "api_keys:read"), make.allowed(customer.by, "billing:write")
    with pytest.raises(Forbidden):
        make.key(db, reader)
    with pytest.raises(Forbidden):
        db.write_now(projects.revoke_key, reader, customer.by.key_id, force=True)
    assert len(db.read_now(projects.list_keys, reader)) == 1
    with pytest.raises(Forbidden):
        db.read_now(projects.list_keys, nobody)
    with pytest.raises(Forbidden):
        db.read_now(projects.get_key, nobody, customer.by.key_id)


def test_twenty_keys_are_active_at_most_and_ended_ones_do_not_count(db: Database, clock: FakeClock) -> None:
    by = make.project(db).by
    short, _ = make.key(db, by, expires_at=Instant(clock.now() + MINUTE))
    others = [make.key(db, by)[0] for _ in range(18)]
    with pytest.raises(Conflict) as refusal:
        make.key(db, by)
    assert refusal.value.code == "quota"
    db.write_now(projects.revoke_key, by, others[0].id)
    make.key(db, by)
    with pytest.raises(Conflict):
        make.key(db, by)
    clock.advance(seconds=61)
    make.key(db, by)
    assert short.id not in {key.id for key in db.read_now(projects.list_keys, by)}


def test_the_last_key_that_can_make_keys_stays_unless_forced(db: Database) -> None:
    customer = make.project(db)

    def revoke() -> None:
        db.write_now(projects.revoke_key, customer.by, customer.by.key_id)

    make.key(db, customer.by, scopes=["deployments:write", "api_keys:read"])
    with pytest.raises(Conflict) as refusal:
        revoke()
    assert refusal.value.code == "last_key"
    authenticate(db, customer.api_key)
    maker, _ = make.key(db, customer.by, scopes=["api_keys:write"])
    revoke()
    assert refused(db, customer.api_key) == "revoked_key"
    with pytest.raises(Conflict):
        db.write_now(projects.revoke_key, customer.by, maker.id)
    db.write_now(projects.revoke_key, customer.by, maker.id, force=True)


def test_a_key_about_to_be_the_last_one_does_not_count_those_that_expired(
    db: Database, clock: FakeClock
) -> None:
    customer = make.project(db)
    make.key(db, customer.by, expires_at=Instant(clock.now() + MINUTE))
    clock.advance(seconds=60)
    with pytest.raises(Conflict):
        db.write_now(projects.revoke_key, customer.by, customer.by.key_id)


def test_other_projects_keys_do_not_exist(db: Database) -> None:
    ours, theirs = make.project(db), make.project(db)
    for call in (
        partial(db.read_now, projects.get_key, ours.by, theirs.by.key_id),
        partial(db.write_now, projects.revoke_key, ours.by, theirs.by.key_id),
        partial(db.read_now, projects.get_key, ours.by, "no such key"),
    ):
        with pytest.raises(NotFound):
            call()
    authenticate(db, theirs.api_key)


def test_use_is_remembered_to_the_minute(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)

    def used_at() -> Instant | None:
        return db.read_now(projects.get_key, customer.by, customer.by.key_id).last_used_at

    assert used_at() is None
    first = clock.now()
    db.write_now(projects.touch_key, customer.by.key_id)
    clock.advance(seconds=59)
    db.write_now(projects.touch_key, customer.by.key_id)
    assert used_at() == first
    clock.advance(seconds=2)
    db.write_now(projects.touch_key, customer.by.key_id)
    assert used_at() == clock.now()


def test_every_change_of_a_key_is_an_event_without_its_secret(db: Database) -> None:
    customer = make.project(db)
    key, _ = make.key(db, customer.by, "ci", scopes=["billing:read"])
    db.write_now(projects.revoke_key, customer.by, key.id)
    happened = db.read_now(events.list_for, customer.by, key.id)
    assert [(event.type, event.actor, event.sequence) for event in happened] == [
        ("api_key.created", customer.by.key_id, 1),
        ("api_key.revoked", customer.by.key_id, 2),
    ]
    assert happened[0].data == {"name": "ci", "scopes": ["billing:read"]}


@pytest.mark.parametrize(
    ("scopes", "asked", "has"),
    [
        ({"*"}, "deployments:write", True),
        ({"deployments:write"}, "deployments:read", True),
        ({"deployments:read"}, "deployments:write", False),
        ({"volumes:write"}, "deployments:read", False),
        ({"catalog:read"}, "catalog:read", True),
        (set(), "catalog:read", False),
        ({"admin"}, "billing:read", False),
    ],
)
def test_a_scope_to_write_implies_the_one_to_read(scopes: set[str], asked: str, has: bool) -> None:
    actor = events.Actor("p", "k", "k", frozenset(scopes))
    assert actor.has(asked) == has


def test_an_installation_has_one_pepper(db: Database) -> None:
    assert db.write_now(projects.is_pepper, b"a" * 32)
    assert not db.write_now(projects.is_pepper, b"b" * 32)
    assert db.write_now(projects.is_pepper, b"a" * 32)
