"""The schema, as Alembic revisions: add first, drop a release later, so that replicas can roll."""

import tempfile
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import OperationalError

from berth.base.db import DatabaseUnavailable, is_postgresql

TABLE_LOCK = "10s"
"""How long a change waits for a table that is in use: everybody who wants to use it meanwhile waits behind."""


def upgrade(url: str, revision: str = "head", *, lock_timeout: str = TABLE_LOCK) -> None:
    """Brings the database at `url` to the newest revision, or to `revision`. Several processes may do so at once.

    Raises DatabaseUnavailable where PostgreSQL cannot be reached or does not keep text in UTF-8, or a table is in use for
    too long.
    """
    config = _config(url)
    config.attributes["lock_timeout"] = lock_timeout
    try:
        command.upgrade(config, revision)
    except OperationalError as error:
        if not is_postgresql(url):
            raise
        raise DatabaseUnavailable(f"the schema was not upgraded: {error.orig}") from error


def knows(revision: str) -> bool:
    """Whether this release has the revision; it lacks those of newer ones."""
    try:
        return ScriptDirectory.from_config(_config("")).get_revision(revision) is not None
    except CommandError:
        return False


def newest() -> str:
    """The revision that `upgrade` leads to."""
    return ScriptDirectory.from_config(_config("")).get_current_head() or ""


@cache
def tables() -> tuple[str, ...]:
    """The names of all tables that the newest revision has, by looking at one."""
    with tempfile.TemporaryDirectory(prefix="berth-schema-") as directory:
        url = f"sqlite:///{directory}/schema.sqlite3"
        upgrade(url)
        engine = create_engine(url)
        found = inspect(engine).get_table_names()
        engine.dispose()
    return tuple(sorted(name for name in found if name != "alembic_version"))


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = _sqlalchemy_url(url)
    return config


def _sqlalchemy_url(url: str) -> str:
    if is_postgresql(url):
        return "postgresql+psycopg://" + url.split("://", 1)[1]
    return url
