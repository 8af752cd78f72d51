"""OAuth clients: who holds the pair acts for the project, until it is revoked."""

import pytest

from berth.base.db import Database
from berth.core import projects
from berth.core.errors import Conflict, Forbidden, NotFound, Unauthenticated
from berth.core.events import ADMIN, Actor
from tests import make
from tests.core.books import rows


def authenticate(db: Database, client_id: str, secret: str) -> Actor:
    return db.read_now(projects.authenticate_client, client_id, secret, pepper=make.PEPPER)


def test_the_pair_of_a_new_project_acts_for_it_with_everything_but_an_operators_rights(db: Database) -> None:
    customer = make.project(db)
    actor = authenticate(db, customer.client_id, customer.client_secret)
    assert (actor.project, actor.key_id) == (customer.id, customer.client_id)
    assert actor.has("deployments:write")
    assert actor.has("api_keys:write")
    assert not actor.has(ADMIN)
    found = db.read_now(projects.find_client, customer.client_id)
    assert found is not None
    assert (found.project, found.is_active) == (customer.id, True)
    assert projects.actor_of_client(found) == actor


def test_any_other_pair_is_refused_alike(db: Database) -> None:
    one, other = make.project(db), make.project(db)
    for client_id, secret in (
        (one.client_id, other.client_secret),
        (one.client_id, ""),
        (one.client_id, "é"),
        ("nobody", one.client_secret),
        ("", ""),
        ("nul\0", "\ud800"),
        (one.client_id, "\ud800\0"),
        ("x" * 10_000, one.client_secret),
    ):
        with pytest.raises(Unauthenticated) as refused:
            authenticate(db, client_id, secret)
        assert refused.value.code == "invalid_client"
    assert db.read_now(projects.find_client, "nobody") is None


def test_a_revoked_client_is_known_and_lets_nobody_in(db: Database) -> None:
    customer = make.project(db)
    client, secret = db.write_now(projects.create_client, customer.by, pepper=make.PEPPER)
    assert authenticate(db, client.id, secret).project == customer.id
    for _ in range(2):
        assert not db.write_now(projects.revoke_client, customer.by, client.id).is_active
    with pytest.raises(Unauthenticated):
        authenticate(db, client.id, secret)
    found = db.read_now(projects.find_client, client.id)
    assert found is not None
    assert not found.is_active
    assert authenticate(db, customer.client_id, customer.client_secret).project == customer.id
    told = [row[0] for row in rows(db, "SELECT type FROM events WHERE type LIKE 'oauth%' ORDER BY seq")]
    assert told == ["oauth_client.created", "oauth_client.revoked"]
    listed = db.read_now(projects.list_clients, customer.by)
    assert {other.id for other in listed} == {client.id, customer.client_id}


def test_secrets_are_not_kept(db: Database) -> None:
    customer = make.project(db)
    (kept,) = rows(db, "SELECT secret_hash FROM oauth_clients")
    assert customer.client_secret not in kept[0]


def test_nobody_makes_a_client_that_may_do_more_than_they(db: Database) -> None:
    customer = make.project(db)
    with pytest.raises(Forbidden):
        db.write_now(projects.create_client, make.allowed(customer.by, "api_keys:write"), pepper=make.PEPPER)
    with pytest.raises(Forbidden):
        db.write_now(projects.revoke_client, make.allowed(customer.by, "api_keys:read"), customer.client_id)
    with pytest.raises(NotFound):
        db.write_now(projects.revoke_client, make.project(db).by, customer.client_id)


def test_a_project_has_only_so_many_that_work(db: Database) -> None:
    customer = make.project(db)
    for _ in range(projects.CLIENTS_PER_PROJECT - 1):
        db.write_now(projects.create_client, customer.by, pepper=make.PEPPER)
    with pytest.raises(Conflict):
        db.write_now(projects.create_client, customer.by, pepper=make.PEPPER)
    db.write_now(projects.revoke_client, customer.by, customer.client_id)
    db.write_now(projects.create_client, customer.by, pepper=make.PEPPER)
