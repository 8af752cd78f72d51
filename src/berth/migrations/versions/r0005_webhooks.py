"""Webhooks and their deliveries."""

import sqlalchemy as sa
from alembic import op

from berth.migrations.columns import SERIAL, index, number, text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_subscriptions",
        text("project_id", primary_key=True),
        text("subscriber", primary_key=True),
        text("lane"),
        text("patterns"),
        number("is_active"),
    )
    op.create_table(
        "webhooks",
        text("id", primary_key=True),
        text("project_id"),
        text("url"),
        text("name", nullable=True),
        text("description", nullable=True),
        text("events"),
        text("secrets"),
        number("is_active"),
        text("disabled_reason", nullable=True),
        number("disabled_at", nullable=True),
        number("throttled_until", default=0),
        number("failing_since", nullable=True),
        number("counted_since", nullable=True),
        text("created_by"),
        number("created_at"),
        number("updated_at"),
        number("deleted_at", nullable=True),
    )
    index("webhooks_by_project", "webhooks", ["project_id", "created_at", "id"], where="deleted_at IS NULL")
    index("webhooks_deleted", "webhooks", ["deleted_at"], where="deleted_at IS NOT NULL")
    op.create_table(
        "deliveries",
        sa.Column("seq", SERIAL, primary_key=True, autoincrement=True),
        text("id"),
        text("project_id"),
        text("webhook_id"),
        text("event_id"),
        text("event_type"),
        text("subject"),
        number("sequence"),
        number("is_test", default=0),
        text("status"),
        text("lane"),
        text("stage"),
        number("due_at", nullable=True),
        number("lease_token", default=0),
        text("payload", nullable=True),
        number("attempts", default=0),
        number("round_attempts", default=0),
        number("last_status_code", nullable=True),
        number("created_at"),
    )
    index("deliveries_by_id", "deliveries", ["id"], unique=True)
    index("deliveries_log", "deliveries", ["webhook_id", "created_at", "seq", "event_type"])
    index(
        "deliveries_log_by_status", "deliveries", ["webhook_id", "status", "created_at", "seq", "event_type"]
    )
    index("deliveries_ready", "deliveries", ["lane", "seq"], where="stage = 'ready'")
    index("deliveries_due", "deliveries", ["due_at"], where="due_at IS NOT NULL")
    index("deliveries_leased", "deliveries", ["lane"], where="stage = 'leased'")
    op.create_table(
        "delivery_attempts",
        text("delivery_id", primary_key=True),
        sa.Column("n", sa.BigInteger(), primary_key=True, autoincrement=False),
        number("at"),
        number("status_code", nullable=True),
        number("latency_ms"),
        text("error", nullable=True),
        text("response_excerpt", nullable=True),
    )
