"""Sessions that end by themselves."""

from alembic import op

from berth.migrations.columns import index, number, text

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instances", number("is_session", default=0))
    op.add_column("instances", number("ends_off", default=0))
    op.add_column("instances", number("is_metered", default=0))
    op.add_column("instances", text("launch", nullable=True))
    op.add_column("instances", text("ports", nullable=True))
    op.add_column("instances", number("boot_timeout_s", nullable=True))
    op.add_column("instances", number("logins_refused", default=0))
    op.create_table(
        "sessions",
        text("instance_id", primary_key=True),
        text("project_id"),
        text("consumer_id"),
        text("provider"),
        text("offer_id"),
        text("workload_type"),
        number("reservation_hours"),
        number("expires_at"),
        number("idle_threshold_minutes"),
        text("storage_policy"),
        text("launch_mode"),
        text("model_id", nullable=True),
        text("quantization", nullable=True),
        text("template_hash_id", nullable=True),
        text("template_name", nullable=True),
        number("disk_gb"),
        number("auto_retry"),
        number("max_retries"),
        text("retry_scope"),
        number("retry_count", default=0),
        text("failed_offers"),
        text("failed_hosts"),
        number("first_price_micros_per_hour"),
        text("token_hash"),
        number("is_active", default=1),
        number("created_at"),
        number("heartbeat_at", nullable=True),
        number("heartbeat_idle_s", nullable=True),
        number("sampled_at", nullable=True),
        text("sample", nullable=True),
        number("cpu_used_us", nullable=True),
        number("signal_at", nullable=True),
        number("idle_since", nullable=True),
    )
    index(
        "sessions_active",
        "sessions",
        ["project_id", "consumer_id", "offer_id"],
        where="is_active = 1",
        unique=True,
    )
    index("sessions_by_project", "sessions", ["project_id", "created_at", "instance_id"])
    index("sessions_by_consumer", "sessions", ["project_id", "consumer_id", "created_at", "instance_id"])
    op.create_table("observers", text("name", primary_key=True), text("public_key"), text("sealed"))
    op.create_table("destroy_failures", text("provider", primary_key=True), number("count"))
