"""Volumes' storage charges, and what usage reports are read from."""

import sqlalchemy as sa
from alembic import op

from berth.migrations.columns import index, number, text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("segments", number("cost_micros_per_hour", default=0))
    op.add_column("entries", number("reverses", nullable=True))
    index("entries_by_time", "entries", ["account_id", "created_at", "seq"])
    op.create_table(
        "storage_segments",
        text("subject", primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        text("account_id"),
        number("micros_per_month"),
        number("cost_micros_per_month"),
        number("started_at"),
        number("ended_at", nullable=True),
        number("before_s"),
        number("before_micros"),
        number("first_tick"),
        number("phase"),
    )
    index(
        "storage_segments_due",
        "storage_segments",
        ["phase", "account_id", "subject", "started_at", "micros_per_month", "first_tick"],
        where="ended_at IS NULL",
    )
    index(
        "storage_segments_open",
        "storage_segments",
        ["account_id", "phase", "started_at", "micros_per_month"],
        where="ended_at IS NULL",
    )
