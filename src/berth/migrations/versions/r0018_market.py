"""Offers of marketplaces, and what became of those that failed."""

from alembic import op

from berth.migrations.columns import index, number, text

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("offers", text("market", nullable=True))
    op.add_column("offers", text("digest", default=""))
    op.add_column("offers", number("changed_at", default=0))
    op.add_column("offers", number("was_claimed", default=1))  # of those that are there nobody knows
    index(
        "offers_forgettable",
        "offers",
        ["changed_at"],
        where="is_listed = 0 AND market IS NOT NULL AND was_claimed = 0",
    )
    op.add_column("providers", number("due_at", default=0))
    op.add_column("providers", number("failures", default=0))
    op.create_table(
        "type_sellers",
        text("instance_type", primary_key=True),
        text("provider", primary_key=True),
        number("vcpu_count"),
        number("ram_gb"),
        number("storage_gb"),
        number("boot_timeout_s"),
    )
    op.create_table(
        "offer_failures",
        text("id", primary_key=True),
        text("offer_id"),
        text("provider"),
        text("gpu_type"),
        text("kind"),
        text("reason"),
        number("failed_at"),
    )
    index("offer_failures_by_offer", "offer_failures", ["offer_id", "failed_at"])
    index("offer_failures_by_time", "offer_failures", ["failed_at"])
    op.create_table(
        "offer_suppressions",
        text("offer_id", primary_key=True),
        number("suppressed_at"),
        number("suppressed_until"),
    )
