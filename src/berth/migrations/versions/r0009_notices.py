"""E-mail that is to be sent."""

from alembic import op

from berth.migrations.columns import index, number, text

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "contacts", text("project_id", primary_key=True), text("email", primary_key=True), number("position")
    )
    op.create_table(
        "notices",
        text("id", primary_key=True),
        text("project_id"),
        text("kind"),
        text("email"),
        text("subject_line"),
        text("body"),
        text("status"),
        number("created_at"),
        number("due_at", nullable=True),
        number("attempt"),
        number("lease_token"),
        number("lease_expires_at"),
        number("finished_at", nullable=True),
        text("error", nullable=True),
    )
    index("notices_due", "notices", ["due_at"], where="due_at IS NOT NULL")
    index("notices_waiting", "notices", ["project_id"], where="due_at IS NOT NULL")
    index("notices_by_project", "notices", ["project_id", "created_at", "id"])
    index("notices_finished", "notices", ["finished_at"], where="finished_at IS NOT NULL")
