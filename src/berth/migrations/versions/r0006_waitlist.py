"""The waitlist: entries, their tickets and deployments, and how long each line is."""

import sqlalchemy as sa
from alembic import op

from berth.migrations.columns import SERIAL, index, number, text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("offers", number("free_syncs", default=0))
    op.create_table(
        "waiting_lines",
        text("instance_type", primary_key=True),
        text("location", primary_key=True),
        number("length"),
        number("owed"),
        number("reserved"),
    )
    op.create_table(
        "waitlist_tickets",
        sa.Column("ticket", SERIAL, primary_key=True, autoincrement=True),
        text("entry_id"),
    )
    op.create_table(
        "waitlist_deployments",
        text("key", primary_key=True),
        text("entry_id"),
        text("instance_id"),
        number("created_at"),
    )
    _entries()


def _entries() -> None:
    op.create_table(
        "waitlist_entries",
        text("id", primary_key=True),
        text("project_id"),
        text("created_by"),
        number("ticket"),
        text("instance_type"),
        text("location"),
        number("is_auto"),
        text("config", nullable=True),
        number("max_price_micros_per_hour", nullable=True),
        text("status"),
        text("blocked_reason", nullable=True),
        number("blocked_at", nullable=True),
        number("blocked_balance_micros", nullable=True),
        number("is_owed"),
        text("granted_location", nullable=True),
        number("notified_count"),
        number("notified_at", nullable=True),
        number("claim_expires_at", nullable=True),
        number("rest_until", nullable=True),
        number("look_at", nullable=True),
        text("instance_id", nullable=True),
        number("attempts"),
        text("last_error", nullable=True),
        number("remind_at", nullable=True),
        number("expires_at"),
        number("due_at", nullable=True),
        number("created_at"),
        number("updated_at"),
        number("sequence"),
    )
    index(
        "waitlist_turns",
        "waitlist_entries",
        ["instance_type", "location", "ticket"],
        where="status = 'waiting' AND blocked_reason IS NULL",
    )
    index(
        "waitlist_passed_over",
        "waitlist_entries",
        ["instance_type", "location", "ticket"],
        where="status = 'waiting' AND blocked_reason IN ('price_above_max', 'image_unavailable')",
    )
    index("waitlist_due", "waitlist_entries", ["due_at"], where="due_at IS NOT NULL")
    index(
        "waitlist_granted",
        "waitlist_entries",
        ["instance_type", "granted_location", "project_id"],
        where="status IN ('notified', 'deploying')",
    )
    index(
        "waitlist_blocked",
        "waitlist_entries",
        ["project_id", "blocked_balance_micros"],
        where="blocked_balance_micros IS NOT NULL",
    )
    index(
        "waitlist_active",
        "waitlist_entries",
        ["project_id", "instance_type", "location"],
        where="status IN ('waiting', 'notified', 'deploying')",
    )
    index("waitlist_by_project", "waitlist_entries", ["project_id", "status", "created_at", "id"])
