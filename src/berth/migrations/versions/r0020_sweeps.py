"""Templates of providers, and what orphans cost."""

from alembic import op

from berth.migrations.columns import index, number, text

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "templates",
        text("provider", primary_key=True),
        text("hash_id", primary_key=True),
        number("number"),
        text("name"),
        text("image"),
        text("tag"),
        text("env"),
        text("onstart"),
        text("runtype"),
        text("args_str"),
        number("use_ssh"),
        number("ssh_direct"),
        number("recommended"),
        number("recommended_disk_gb"),
        text("extra_filters"),
        number("creator_id"),
        number("created_at"),
        number("count_created"),
        number("place"),
    )
    index("templates_by_hash_id", "templates", ["hash_id"])
    op.create_table(
        "template_refreshes",
        text("provider", primary_key=True),
        number("refreshed_at"),
    )
    index("orphans_standing", "orphans", ["provider"], where="destroyed_at IS NULL")
    op.add_column("orphans", number("began_at", nullable=True))
    op.add_column("orphans", number("cost_micros_per_hour", nullable=True))
    op.add_column("orphans", number("cost_micros", default=0))
    op.add_column("orphans", number("destroy_failures", default=0))
