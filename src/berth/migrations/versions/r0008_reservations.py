"""What ends an instance by itself."""

from alembic import op

from berth.migrations.columns import number, text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instances", number("keeps_hardware", default=0))
    op.add_column("instances", number("is_reserved", default=0))
    op.add_column("providers", text("abilities", nullable=True))
    op.add_column("providers", number("configured_at", nullable=True))
