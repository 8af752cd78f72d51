"""What ends an instance by itself."""

from alembic import op

from berth.migrations.columns import index, number, text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instances", number("keeps_hardware", default=0))
    op.add_column("instances", number("is_reserved", default=0))
    op.add_column("providers", text("abilities", nullable=True))
    op.add_column("providers", number("configured_at", nullable=True))
    op.create_table(
        "reservations",
        text("instance_id", primary_key=True),
        number("ends_at", nullable=True),
        number("max_spend_micros", nullable=True),
        number("idle_s", nullable=True),
        number("idle_since", nullable=True),
        number("stops_at", nullable=True),
        number("next_at", nullable=True),
    )
    index("reservations_due", "reservations", ["next_at"], where="next_at IS NOT NULL")
