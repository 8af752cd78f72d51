"""Runs revisions in one transaction, one process at a time, beside servers that work.

A database whose revision is not among ours was upgraded by a newer release: it is left as it is, because what
revisions add is in nobody's way.
"""

import sqlalchemy as sa
import structlog
from alembic import context
from alembic.util import CommandError

from berth.base.db import DatabaseUnavailable

_MIGRATION_LOCK = 4_270_718_001
"""Any constant of our own: the advisory lock that keeps two migrating processes apart."""


def _run() -> None:
    url = sa.make_url(context.config.attributes["url"])
    is_postgresql = url.get_backend_name() == "postgresql"
    engine = sa.create_engine(
        url, poolclass=sa.NullPool, connect_args={"client_encoding": "UTF8"} if is_postgresql else {}
    )
    with engine.begin() as connection:
        if is_postgresql:
            _check_encoding(connection)
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            # Only now: for another process that migrates everybody waits as long as it takes.
            limit = context.config.attributes.get("lock_timeout", "0")
            connection.execute(sa.text("SELECT set_config('lock_timeout', :limit, true)"), {"limit": limit})
        else:
            connection.exec_driver_sql("PRAGMA busy_timeout = 30000")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        context.configure(connection=connection, transaction_per_migration=False)
        if not _is_newer():
            with context.begin_transaction():
                context.run_migrations()
    engine.dispose()


def _check_encoding(connection: sa.Connection) -> None:
    encoding = connection.execute(sa.text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise DatabaseUnavailable(
            f"the database keeps text in {encoding}, and Berth needs UTF8: make it with"
            " `createdb --encoding UTF8 --template template0`"
        )


def _is_newer() -> bool:
    for revision in context.get_context().get_current_heads():
        try:
            context.script.get_revision(revision)
        except CommandError:
            structlog.get_logger().warning("schema_is_newer", revision=revision)
            return True
    return False


_run()
