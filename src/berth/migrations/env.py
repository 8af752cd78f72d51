"""Runs revisions in one transaction, one process at a time, beside servers that work.

A database whose revision is not among ours was upgraded by a newer release: it is left as it is, because what
revisions add is in nobody's way.
"""

import sqlalchemy as sa
import structlog
from alembic import context
from alembic.util import CommandError

_MIGRATION_LOCK = 4_270_718_001
"""Any constant of our own: the advisory lock that keeps two migrating processes apart."""


def _run() -> None:
    engine = sa.create_engine(context.config.attributes["url"], poolclass=sa.NullPool)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
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


def _is_newer() -> bool:
    for revision in context.get_context().get_current_heads():
        try:
            context.script.get_revision(revision)
        except CommandError:
            structlog.get_logger().warning("schema_is_newer", revision=revision)
            return True
    return False


_run()
