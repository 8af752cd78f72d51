"""Accounts that run empty: states, alerts, limits."""

from alembic import op

from berth.migrations.columns import index, number, text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account_credit",
        text("account_id", primary_key=True),
        text("state"),
        number("since_at"),
        number("depleted_at", nullable=True),
        number("stops_at", nullable=True),
        number("purges_at", nullable=True),
        text("crossed"),
        number("warnings"),
        text("announced_to"),
        number("is_resuming"),
    )
    index(
        "account_credit_at_work",
        "account_credit",
        ["account_id"],
        where="state <> 'active' OR is_resuming = 1",
    )
    op.create_table(
        "account_alerts",
        text("account_id", primary_key=True),
        text("balances_micros"),
        text("runways_s"),
        number("is_enabled"),
    )
    op.create_table(
        "account_limits",
        text("account_id", primary_key=True),
        number("max_hourly_micros", nullable=True),
        number("monthly_budget_micros", nullable=True),
        text("on_budget"),
        number("auto_resume"),
        number("month_at"),
        number("spent_micros"),
        number("spent_to_seq"),
        number("reached_in_month_at"),
    )
    index(
        "account_limits_with_budget",
        "account_limits",
        ["account_id"],
        where="monthly_budget_micros IS NOT NULL",
    )
    index("accounts_in_debt", "accounts", ["id"], where="balance_micros < 0")
