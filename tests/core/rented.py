"""Sessions as tests of core have them: brought to run, ended, and read again."""

from typing import Any

from berth.base.db import Database
from berth.core import instances, sessions
from berth.core.instances import Instance
from berth.core.sessions import Opened, Session
from tests import make


def running(db: Database, opened: Opened | Session) -> Session:
    """The session once it runs, by the verbs that lead there, all at this instant."""
    session = opened.session if isinstance(opened, Opened) else opened
    made = make.provisioned(db, session.instance)
    make.seen(db, made, instances.reachable, make.sighting(made))
    return seen(db, session)


def seen(db: Database, session: Session) -> Session:
    found = db.read_now(sessions.find, session.id)
    assert found is not None
    return found


def by(session: Session) -> Any:
    return make.owner(session.instance)


def done(db: Database, session: Session) -> Session:
    return db.write_now(sessions.done, by(session), session.id, make.RULES)


def destroy(db: Database, session: Session) -> Session:
    return db.write_now(sessions.destroy, by(session), session.id, make.RULES)


def gone(db: Database, session: Session) -> Instance:
    return make.seen(db, session.instance, instances.gone, make.RULES)


def beat(db: Database, session: Session, token: str, idle_s: int) -> Session:
    return db.write_now(
        sessions.heartbeat,
        by(session),
        session.id,
        token=token,
        idle_s=idle_s,
        pepper=make.PEPPER,
        money=make.RULES,
    )
