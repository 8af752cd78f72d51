"""Volumes: what can be had, what there is, where it is attached."""

import sqlalchemy as sa
from alembic import op

from berth.base import ids
from berth.base.clock import Instant
from berth.migrations.columns import index, number, text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BATCH = 1000


def upgrade() -> None:
    _catalogue()
    _volumes()
    op.add_column("providers", number("volumes_listed_at", nullable=True))
    op.add_column("instances", text("volume_ids", default="[]"))
    _add_boot_disks()


def _catalogue() -> None:
    op.create_table(
        "volume_types",
        text("provider", primary_key=True),
        text("name", primary_key=True),
        text("location", primary_key=True),
        number("price_micros_per_gb_month"),
        number("cost_micros_per_gb_month"),
        number("min_size_gb"),
        number("max_size_gb"),
        number("is_shared"),
        number("max_attachments"),
        number("attaches_live"),
        text("iops"),
        number("burst_bandwidth_mb_s"),
        number("continuous_bandwidth_mb_s"),
        number("internal_network_speed_mb_s"),
        number("throughput_gbps"),
        number("is_listed"),
        number("observed_at"),
    )
    index("volume_types_by_location", "volume_types", ["location", "name", "price_micros_per_gb_month"])


def _volumes() -> None:
    op.create_table(
        "volumes",
        text("id", primary_key=True),
        text("project_id"),
        text("created_by"),
        text("name"),
        text("type"),
        text("location"),
        text("provider"),
        number("size_gb"),
        number("wanted_size_gb"),
        number("is_shared"),
        number("max_attachments"),
        number("attaches_live"),
        number("price_micros_per_gb_month"),
        number("cost_micros_per_gb_month"),
        text("os_of", nullable=True),
        text("born_with", nullable=True),
        text("on_instance_delete"),
        text("handle", nullable=True),
        text("status"),
        text("wanted"),
        text("status_reason", nullable=True),
        number("created_at"),
        number("updated_at"),
        number("deleted_at", nullable=True),
        number("purge_at", nullable=True),
        number("gone_at", nullable=True),
        number("create_sent_at", nullable=True),
        number("missing_since", nullable=True),
        number("sequence"),
        number("due_at", nullable=True),
        number("lease_expires_at", default=0),
        number("lease_token", default=0),
        number("attempt", default=0),
    )
    index("volumes_live", "volumes", ["project_id", "created_at", "id"], where="status <> 'deleted'")
    index("volumes_by_status", "volumes", ["project_id", "status", "created_at", "id"])
    index("volumes_kept", "volumes", ["project_id", "size_gb"], where="gone_at IS NULL AND os_of IS NULL")
    index("volumes_due", "volumes", ["due_at"], where="due_at IS NOT NULL")
    index("volumes_by_provider", "volumes", ["provider", "id"], where="gone_at IS NULL AND os_of IS NULL")
    index("volumes_by_os", "volumes", ["os_of"], where="os_of IS NOT NULL")
    index("volumes_by_birth", "volumes", ["born_with"], where="born_with IS NOT NULL")
    op.create_table(
        "attachments",
        text("volume_id", primary_key=True),
        text("instance_id", primary_key=True),
        text("mount_name"),
        text("state"),
        number("created_at"),
    )
    index("attachments_by_instance", "attachments", ["instance_id", "created_at", "volume_id"])
    op.create_table(
        "orphan_volumes",
        text("provider", primary_key=True),
        text("handle", primary_key=True),
        text("volume_id"),
        number("first_seen_at"),
        number("destroyed_at", nullable=True),
    )


def _add_boot_disks() -> None:
    """Every instance that is not deleted has had a boot disk all along; from now on it has a row."""
    connection = op.get_bind()
    last = ""
    while rows := connection.execute(
        sa.text(
            "SELECT id, project_id, created_by, os_volume_name, location, provider, os_volume_gb, status,"
            " created_at FROM instances WHERE id > :last AND status NOT IN"
            " ('deleted', 'error', 'failed_no_capacity') ORDER BY id LIMIT :limit"
        ),
        {"last": last, "limit": _BATCH},
    ).all():
        last = rows[-1].id
        connection.execute(
            sa.text(
                "INSERT INTO volumes (id, project_id, created_by, name, type, location, provider, size_gb,"
                " wanted_size_gb, is_shared, max_attachments, attaches_live, price_micros_per_gb_month,"
                " cost_micros_per_gb_month, os_of, on_instance_delete, status, wanted, created_at, updated_at,"
                " sequence) VALUES (:id, :project, :created_by, :name, 'NVMe', :location, :provider, :size,"
                " :size, 0, 1, 0, 0, 0, :instance, 'purge', :status, 'kept', :created_at, :created_at, 1)"
            ),
            [
                {
                    "id": ids.new(Instant(row.created_at)),
                    "project": row.project_id,
                    "created_by": row.created_by,
                    "name": row.os_volume_name,
                    "location": row.location,
                    "provider": row.provider,
                    "size": row.os_volume_gb,
                    "instance": row.id,
                    "status": "ordered" if row.status == "ordered" else "attached",
                    "created_at": row.created_at,
                }
                for row in rows
            ],
        )
