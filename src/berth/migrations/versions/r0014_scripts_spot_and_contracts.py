"""Startup scripts, keys kept verbatim, spot units, what ends an instance from outside, and long terms."""

from alembic import op

from berth.migrations.columns import index, number, text

revision = "0014"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scripts",
        text("id", primary_key=True),
        text("project_id"),
        text("name"),
        text("script"),
        number("created_at"),
    )
    index("scripts_by_project", "scripts", ["project_id", "created_at", "id"])
    index("oauth_clients_by_project", "oauth_clients", ["project_id", "created_at", "id"])
    op.add_column("ssh_keys", text("shown_fingerprint", nullable=True))
    _catalogue()
    _instances()


def _catalogue() -> None:
    op.add_column("instance_types", text("gpu_name", default=""))
    op.add_column("instance_types", text("p2p", nullable=True))
    op.add_column("instance_types", text("best_for", default="[]"))
    op.add_column("instance_types", text("deploy_warning", nullable=True))
    op.add_column("locations", number("position", default=0))
    op.add_column("offers", number("spot_cost_micros_per_hour", nullable=True))
    op.add_column("offers", number("spot_free_units", nullable=True))
    op.add_column("claims", number("is_spot", default=0))


def _instances() -> None:
    op.add_column("instances", number("is_spot", default=0))
    op.add_column("instances", text("startup_script_id", nullable=True))
    op.add_column("instances", text("contract", default="pay_as_you_go"))
    op.add_column("segments", number("earlier_s", default=0))
    op.add_column("segments", number("earlier_micros", default=0))
    op.create_table(
        "evictions",
        text("instance_id", primary_key=True),
        number("evicts_at"),
        text("sentence", nullable=True),
        number("due_at", nullable=True),
    )
    index("evictions_due", "evictions", ["due_at"], where="due_at IS NOT NULL")
    op.create_table(
        "terms",
        text("instance_id", primary_key=True),
        text("period"),
        text("period_name"),
        text("unit_name"),
        number("unit_value"),
        number("discount_percentage"),
        text("extension"),
        number("list_price_micros_per_hour"),
        number("ordered_at"),
        number("number"),
        number("started_at"),
        number("ends_at"),
        number("due_at", nullable=True),
    )
    index("terms_due", "terms", ["due_at"], where="due_at IS NOT NULL")
