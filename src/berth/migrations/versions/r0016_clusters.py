"""Clusters: which are sold, and which there are."""

from alembic import op

from berth.migrations.columns import index, number, text

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cluster_types",
        text("provider", primary_key=True),
        text("name", primary_key=True),
        text("location", primary_key=True),
        text("worker_offer"),
        number("worker_count"),
        text("jump_host_offer"),
        number("price_micros_per_hour"),
        text("description"),
        text("details"),
        number("is_listed"),
        number("observed_at"),
    )
    op.create_table(
        "clusters",
        text("id", primary_key=True),
        text("project_id"),
        text("created_by"),
        text("hostname"),
        text("description"),
        text("cluster_type"),
        text("location"),
        text("provider"),
        text("image"),
        text("image_id"),
        text("os_name"),
        text("ssh_key_ids"),
        text("startup_script_id", nullable=True),
        text("contract"),
        text("jump_host_id"),
        text("volume_ids"),
        text("status"),
        text("wanted"),
        text("status_reason", nullable=True),
        number("status_changed_at"),
        number("created_at"),
        number("updated_at"),
        number("first_running_at", nullable=True),
        number("discontinued_at", nullable=True),
        number("sequence"),
    )
    index("clusters_by_project", "clusters", ["project_id", "created_at", "id"])
    index("clusters_live", "clusters", ["id"], where="status <> 'discontinued'")
    op.add_column("instances", text("cluster_id", nullable=True))
    op.add_column("instances", number("ready_at", nullable=True))
    op.add_column("instances", text("private_ip", nullable=True))
    index("instances_by_cluster", "instances", ["cluster_id", "id"], where="cluster_id IS NOT NULL")
