"""The foundation: projects, keys, catalogue, instances, money, events."""

import sqlalchemy as sa
from alembic import op

from berth.migrations.columns import SERIAL, index, number, text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _installation()
    _projects()
    _money()
    _events()
    _catalogue()
    _instances()


def _installation() -> None:
    op.create_table("installation", text("key", primary_key=True), text("value"))
    op.create_table(
        "leases", text("name", primary_key=True), text("holder"), number("token"), number("expires_at")
    )


def _projects() -> None:
    op.create_table("projects", text("id", primary_key=True), text("name"), number("created_at"))
    index("projects_by_name", "projects", ["name"], unique=True)
    op.create_table(
        "api_keys",
        text("id", primary_key=True),
        text("project_id"),
        text("name"),
        text("prefix"),
        text("secret_hash"),
        text("scopes"),
        text("lineage"),
        text("description", nullable=True),
        text("created_by", nullable=True),
        number("created_at"),
        number("last_used_at", nullable=True),
        number("expires_at", nullable=True),
        number("revoked_at", nullable=True),
    )
    index("api_keys_by_hash", "api_keys", ["secret_hash"], unique=True)
    index("api_keys_by_project", "api_keys", ["project_id", "created_at", "id"])
    op.create_table(
        "oauth_clients",
        text("id", primary_key=True),
        text("project_id"),
        text("secret_hash"),
        number("created_at"),
        number("revoked_at", nullable=True),
    )
    op.create_table(
        "ssh_keys",
        text("id", primary_key=True),
        text("project_id"),
        text("name"),
        text("public_key"),
        text("fingerprint"),
        text("key_type"),
        number("created_at"),
    )
    index("ssh_keys_by_fingerprint", "ssh_keys", ["project_id", "fingerprint"], unique=True)
    op.create_table(
        "idempotency_records",
        text("project_id", primary_key=True),
        text("lineage", primary_key=True),
        text("key", primary_key=True),
        text("fingerprint"),
        number("status"),
        text("body"),
        number("created_at"),
        number("expires_at"),
    )
    index("idempotency_records_by_expiry", "idempotency_records", ["expires_at"])


def _money() -> None:
    op.create_table(
        "accounts",
        text("id", primary_key=True),
        number("balance_micros"),
        number("held_micros"),
        number("created_at"),
    )
    op.create_table(
        "holds",
        text("subject", primary_key=True),
        text("account_id"),
        number("amount_micros"),
        number("created_at"),
    )
    op.create_table(
        "entries",
        sa.Column("seq", SERIAL, primary_key=True, autoincrement=True),
        text("account_id"),
        text("code"),
        text("subject"),
        number("tick"),
        number("amount_micros"),
        number("balance_after_micros"),
        number("period_start_at", nullable=True),
        number("period_end_at", nullable=True),
        number("seconds", nullable=True),
        number("price_micros_per_hour", nullable=True),
        number("is_final", default=0),
        text("note", nullable=True),
        number("created_at"),
    )
    index("entries_by_reason", "entries", ["subject", "tick", "code", "account_id"], unique=True)
    index("entries_by_account", "entries", ["account_id", "seq"])
    op.create_table(
        "segments",
        text("subject", primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        text("account_id"),
        number("price_micros_per_hour"),
        number("started_at"),
        number("ended_at", nullable=True),
        number("before_s"),
        number("first_tick"),
        number("phase"),
    )
    index(
        "segments_due",
        "segments",
        ["phase", "account_id", "subject", "started_at", "price_micros_per_hour", "before_s", "first_tick"],
        where="ended_at IS NULL",
    )
    index(
        "segments_open",
        "segments",
        ["account_id", "started_at", "price_micros_per_hour", "before_s"],
        where="ended_at IS NULL",
    )
    op.create_table("sweeps", text("name", primary_key=True), number("swept_at"))


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", SERIAL, primary_key=True, autoincrement=True),
        text("id"),
        text("project_id"),
        text("type"),
        text("subject"),
        number("sequence"),
        text("actor"),
        text("data"),
        number("created_at"),
    )
    index("events_by_subject", "events", ["subject", "sequence"], unique=True)


def _catalogue() -> None:
    op.create_table(
        "providers",
        text("name", primary_key=True),
        number("refreshed_at", nullable=True),
        number("listed_at", nullable=True),
        text("failure", nullable=True),
    )
    op.create_table(
        "locations",
        text("code", primary_key=True),
        text("name"),
        text("country_code"),
        number("created_at"),
    )
    op.create_table(
        "instance_types",
        text("name", primary_key=True),
        text("gpu_model", nullable=True),
        number("gpu_count"),
        number("gpu_vram_gb"),
        number("vcpu_count"),
        number("ram_gb"),
        number("storage_gb"),
        text("description"),
        text("manufacturer"),
        number("boot_timeout_s"),
        text("providers"),
        number("created_at"),
    )
    op.create_table(
        "images",
        text("id", primary_key=True),
        text("slug"),
        text("name"),
        text("category"),
        text("details"),
        number("is_default"),
        number("is_cluster"),
        text("os_name"),
        text("os_version", nullable=True),
        text("cuda_version", nullable=True),
        text("driver_version", nullable=True),
        number("has_docker"),
        text("ssh_user"),
        number("min_os_volume_gb"),
        text("gpu_models", nullable=True),
        text("providers"),
        number("created_at"),
        number("deprecated_at", nullable=True),
    )
    index("images_by_slug", "images", ["slug"], unique=True)
    op.create_table(
        "offers",
        text("id", primary_key=True),
        text("provider"),
        text("provider_offer_id"),
        text("instance_type"),
        text("location"),
        number("price_micros_per_hour"),
        number("spot_price_micros_per_hour", nullable=True),
        number("cost_micros_per_hour"),
        number("free_units"),
        number("is_simulated"),
        number("is_listed"),
        number("suppressed_until", default=0),
        number("observed_at"),
    )
    index("offers_by_provider", "offers", ["provider", "provider_offer_id"], unique=True)
    index("offers_by_type", "offers", ["instance_type", "location", "price_micros_per_hour"])
    op.create_table(
        "claims",
        text("subject", primary_key=True),
        text("offer_id"),
        number("claimed_at"),
        number("counted_at", nullable=True),
    )
    index("claims_by_offer", "claims", ["offer_id"])


def _instances() -> None:
    op.create_table(
        "instances",
        text("id", primary_key=True),
        text("project_id"),
        text("created_by"),
        text("hostname"),
        text("description"),
        text("instance_type"),
        text("location"),
        text("image"),
        text("image_id"),
        text("image_slug"),
        text("os_name"),
        text("ssh_user"),
        text("specs"),
        text("os_volume_name"),
        number("os_volume_gb"),
        text("ssh_key_ids"),
        text("ssh_public_keys"),
        text("startup_script", nullable=True),
        number("price_micros_per_hour"),
        number("cost_micros_per_hour"),
        text("offer_id"),
        text("provider"),
        text("tried_offers"),
        text("handle", nullable=True),
        text("status"),
        text("wanted"),
        text("status_reason", nullable=True),
        number("status_changed_at"),
        number("restart_wanted", default=0),
        text("ip", nullable=True),
        number("ssh_port", nullable=True),
        number("created_at"),
        number("updated_at"),
        number("first_running_at", nullable=True),
        number("deleted_at", nullable=True),
        number("create_sent_at", nullable=True),
        number("deadline_at", nullable=True),
        number("missing_since", nullable=True),
        number("sequence"),
        number("due_at", nullable=True),
        number("lease_expires_at", default=0),
        number("lease_token", default=0),
        number("attempt", default=0),
    )
    index("instances_live", "instances", ["project_id", "created_at", "id"], where="status <> 'deleted'")
    index("instances_by_status", "instances", ["project_id", "status", "created_at", "id"])
    index("instances_due", "instances", ["due_at"], where="due_at IS NOT NULL")
    index("instances_by_provider", "instances", ["provider", "id"], where="status <> 'deleted'")
    op.create_table(
        "orphans",
        text("provider", primary_key=True),
        text("handle", primary_key=True),
        text("instance_id"),
        number("first_seen_at"),
        number("destroyed_at", nullable=True),
    )
    op.create_table(
        "instance_counts",
        text("project_id", primary_key=True),
        text("status", primary_key=True),
        number("count"),
    )
