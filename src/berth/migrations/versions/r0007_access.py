"""API keys in full, settings of a project, counts of requests, and who asked for what from where."""

import sqlalchemy as sa
from alembic import op

from berth.migrations.columns import index, number, text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _keys()
    _idempotency()
    _requests()
    _images()
    op.add_column("projects", number("unique_active_hostname", default=0))
    op.add_column("events", text("address", nullable=True))
    op.add_column("events", text("request_id", nullable=True))
    index(
        "instances_by_hostname",
        "instances",
        ["project_id", "hostname"],
        where="status IN ('ordered', 'provisioning', 'running', 'offline')",
    )


def _keys() -> None:
    op.add_column("api_keys", text("allowed_cidrs", default="[]"))
    op.add_column("api_keys", text("last_used_ip", nullable=True))
    op.add_column("api_keys", text("rotated_from", nullable=True))
    op.add_column("api_keys", text("rotated_to", nullable=True))
    index("api_keys_revoked", "api_keys", ["revoked_at"], where="revoked_at IS NOT NULL")
    index("api_keys_expiring", "api_keys", ["expires_at"], where="expires_at IS NOT NULL")


def _idempotency() -> None:
    op.add_column("idempotency_records", text("subject", nullable=True))
    op.add_column("idempotency_records", number("kept_until", default=0))
    op.add_column("idempotency_records", number("is_minted", default=0))
    index(
        "idempotency_records_by_subject",
        "idempotency_records",
        ["subject"],
        where="subject IS NOT NULL",
    )
    index(
        "idempotency_records_minted",
        "idempotency_records",
        ["project_id", "lineage", "fingerprint", "created_at"],
        where="is_minted = 1",
    )


def _requests() -> None:
    op.create_table(
        "request_counts",
        sa.Column("window_at", sa.BigInteger(), primary_key=True, autoincrement=False),
        text("project_id", primary_key=True),
        text("route", primary_key=True),
        number("count"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Counts of a minute need not outlive a crash, and must not make anybody wait for a disk.
        op.execute("ALTER TABLE request_counts SET UNLOGGED")


def _images() -> None:
    op.add_column("images", number("size_gb", nullable=True))
    op.add_column("images", text("arch", default="x86_64"))
    op.add_column("images", text("min_driver", nullable=True))
    op.add_column("images", number("removed_at", nullable=True))
