"""Boot disks that outlive their instances, copies of volumes, and where a volume is mounted."""

from alembic import op

from berth.migrations.columns import index, number, text

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_KEPT_OF_IMAGES = ("image_id", "image_slug", "os_name", "ssh_user")


def upgrade() -> None:
    op.add_column("volumes", number("is_bootable", default=0))
    for name in _KEPT_OF_IMAGES:
        op.add_column("volumes", text(name, nullable=True))
    op.add_column("volumes", text("on_eviction", default="detach"))
    op.add_column("volumes", text("cloning_from", nullable=True))
    index("volumes_being_copied", "volumes", ["cloning_from"], where="cloning_from IS NOT NULL")
    index("volumes_by_handle", "volumes", ["provider", "handle"], where="handle IS NOT NULL")
    op.add_column("attachments", text("mount_path", nullable=True))
    op.add_column("instances", text("boot_volume_id", nullable=True))
    for name in _KEPT_OF_IMAGES:
        op.execute(
            f"UPDATE volumes SET {name} = (SELECT {name} FROM instances WHERE instances.id = volumes.os_of)"
            " WHERE os_of IS NOT NULL"
        )
    op.execute("UPDATE volumes SET is_bootable = 1 WHERE os_of IS NOT NULL")
