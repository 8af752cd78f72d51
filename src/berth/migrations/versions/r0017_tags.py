"""Tags on instances, volumes and clusters."""

from alembic import op

from berth.migrations.columns import index, number, text

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tags",
        text("subject", primary_key=True),
        text("key", primary_key=True),
        text("id"),
        text("project_id"),
        text("kind"),
        text("value"),
        number("created_at"),
    )
    index("tags_by_project", "tags", ["project_id", "kind", "subject", "key"])
