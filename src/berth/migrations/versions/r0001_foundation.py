"""The foundation: projects, keys, catalogue, instances, money, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _installation()
    _projects()
    _money()
    _events()
    _catalogue()
    _instances()


def _text(name: str, *, nullable: bool = False, primary_key: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=nullable, primary_key=primary_key)


def _number(name: str, *, nullable: bool = False, default: int | None = None) -> "sa.Column[int]":
    server_default = None if default is None else str(default)
    return sa.Column(name, sa.BigInteger(), nullable=nullable, server_default=server_default)


def _index(
    name: str, table: str, columns: list[str], *, where: str | None = None, unique: bool = False
) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _installation() -> None:
    op.create_table("installation", _text("key", primary_key=True), _text("value"))
    op.create_table(
        "leases", _text("name", primary_key=True), _text("holder"), _number("token"), _number("expires_at")
    )


def _projects() -> None:
    op.create_table("projects", _text("id", primary_key=True), _text("name"), _number("created_at"))
    _index("projects_by_name", "projects", ["name"], unique=True)
    op.create_table(
        "api_keys",
        _text("id", primary_key=True),
        _text("project_id"),
        _text("name"),
        _text("prefix"),
        _text("secret_hash"),
        _text("scopes"),
        _text("lineage"),
        _text("description", nullable=True),
        _text("created_by", nullable=True),
        _number("created_at"),
        _number("last_used_at", nullable=True),
        _number("expires_at", nullable=True),
        _number("revoked_at", nullable=True),
    )
    _index("api_keys_by_hash", "api_keys", ["secret_hash"], unique=True)
    _index("api_keys_by_project", "api_keys", ["project_id", "created_at", "id"])
    op.create_table(
        "oauth_clients",
        _text("id", primary_key=True),
        _text("project_id"),
        _text("secret_hash"),
        _number("created_at"),
        _number("revoked_at", nullable=True),
    )
    op.create_table(
        "ssh_keys",
        _text("id", primary_key=True),
        _text("project_id"),
        _text("name"),
        _text("public_key"),
        _text("fingerprint"),
        _text("key_type"),
        _number("created_at"),
    )
    _index("ssh_keys_by_fingerprint", "ssh_keys", ["project_id", "fingerprint"], unique=True)
    op.create_table(
        "idempotency_records",
        _text("project_id", primary_key=True),
        _text("lineage", primary_key=True),
        _text("key", primary_key=True),
        _text("fingerprint"),
        _number("status"),
        _text("body"),
        _number("created_at"),
        _number("expires_at"),
    )
    _index("idempotency_records_by_expiry", "idempotency_records", ["expires_at"])


def _money() -> None:
    op.create_table(
        "accounts",
        _text("id", primary_key=True),
        _number("balance_micros"),
        _number("held_micros"),
        _number("created_at"),
    )
    op.create_table(
        "holds",
        _text("subject", primary_key=True),
        _text("account_id"),
        _number("amount_micros"),
        _number("created_at"),
    )
    op.create_table(
        "entries",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        _text("account_id"),
        _text("code"),
        _text("subject"),
        _number("tick"),
        _number("amount_micros"),
        _number("balance_after_micros"),
        _number("period_start_at", nullable=True),
        _number("period_end_at", nullable=True),
        _number("seconds", nullable=True),
        _number("price_micros_per_hour", nullable=True),
        _number("is_final", default=0),
        _text("note", nullable=True),
        _number("created_at"),
    )
    _index("entries_by_reason", "entries", ["subject", "tick", "code", "account_id"], unique=True)
    _index("entries_by_account", "entries", ["account_id", "seq"])
    op.create_table(
        "segments",
        _text("subject", primary_key=True),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        _text("account_id"),
        _number("price_micros_per_hour"),
        _number("started_at"),
        _number("ended_at", nullable=True),
        _number("before_s"),
        _number("first_tick"),
        _number("phase"),
    )
    _index(
        "segments_due",
        "segments",
        ["phase", "account_id", "subject", "started_at", "price_micros_per_hour", "before_s", "first_tick"],
        where="ended_at IS NULL",
    )
    _index(
        "segments_open",
        "segments",
        ["account_id", "started_at", "price_micros_per_hour", "before_s"],
        where="ended_at IS NULL",
    )
    op.create_table("sweeps", _text("name", primary_key=True), _number("swept_at"))


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", _SERIAL, primary_key=True, autoincrement=True),
        _text("id"),
        _text("project_id"),
        _text("type"),
        _text("subject"),
        _number("sequence"),
        _text("actor"),
        _text("data"),
        _number("created_at"),
    )
    _index("events_by_subject", "events", ["subject", "sequence"], unique=True)


def _catalogue() -> None:
    op.create_table(
        "providers",
        _text("name", primary_key=True),
        _number("refreshed_at", nullable=True),
        _number("listed_at", nullable=True),
        _text("failure", nullable=True),
    )
    op.create_table(
        "locations",
        _text("code", primary_key=True),
        _text("name"),
        _text("country_code"),
        _number("created_at"),
    )
    op.create_table(
        "instance_types",
        _text("name", primary_key=True),
        _text("gpu_model", nullable=True),
        _number("gpu_count"),
        _number("gpu_vram_gb"),
        _number("vcpu_count"),
        _number("ram_gb"),
        _number("storage_gb"),
        _text("description"),
        _text("manufacturer"),
        _number("boot_timeout_s"),
        _text("providers"),
        _number("created_at"),
    )
    op.create_table(
        "images",
        _text("id", primary_key=True),
        _text("slug"),
        _text("name"),
        _text("category"),
        _text("details"),
        _number("is_default"),
        _number("is_cluster"),
        _text("os_name"),
        _text("os_version", nullable=True),
        _text("cuda_version", nullable=True),
        _text("driver_version", nullable=True),
        _number("has_docker"),
        _text("ssh_user"),
        _number("min_os_volume_gb"),
        _text("gpu_models", nullable=True),
        _text("providers"),
        _number("created_at"),
        _number("deprecated_at", nullable=True),
    )
    _index("images_by_slug", "images", ["slug"], unique=True)
    op.create_table(
        "offers",
        _text("id", primary_key=True),
        _text("provider"),
        _text("provider_offer_id"),
        _text("instance_type"),
        _text("location"),
        _number("price_micros_per_hour"),
        _number("spot_price_micros_per_hour", nullable=True),
        _number("cost_micros_per_hour"),
        _number("free_units"),
        _number("is_simulated"),
        _number("is_listed"),
        _number("suppressed_until", default=0),
        _number("observed_at"),
    )
    _index("offers_by_provider", "offers", ["provider", "provider_offer_id"], unique=True)
    _index("offers_by_type", "offers", ["instance_type", "location", "price_micros_per_hour"])
    op.create_table(
        "claims",
        _text("subject", primary_key=True),
        _text("offer_id"),
        _number("claimed_at"),
        _number("counted_at", nullable=True),
    )
    _index("claims_by_offer", "claims", ["offer_id"])


def _instances() -> None:
    op.create_table(
        "instances",
        _text("id", primary_key=True),
        _text("project_id"),
        _text("created_by"),
        _text("hostname"),
        _text("description"),
        _text("instance_type"),
        _text("location"),
        _text("image"),
        _text("image_id"),
        _text("image_slug"),
        _text("os_name"),
        _text("ssh_user"),
        _text("specs"),
        _text("os_volume_name"),
        _number("os_volume_gb"),
        _text("ssh_key_ids"),
        _text("ssh_public_keys"),
        _text("startup_script", nullable=True),
        _number("price_micros_per_hour"),
        _number("cost_micros_per_hour"),
        _text("offer_id"),
        _text("provider"),
        _text("tried_offers"),
        _text("handle", nullable=True),
        _text("status"),
        _text("wanted"),
        _text("status_reason", nullable=True),
        _number("status_changed_at"),
        _number("restart_wanted", default=0),
        _text("ip", nullable=True),
        _number("ssh_port", nullable=True),
        _number("created_at"),
        _number("updated_at"),
        _number("first_running_at", nullable=True),
        _number("deleted_at", nullable=True),
        _number("create_sent_at", nullable=True),
        _number("deadline_at", nullable=True),
        _number("missing_since", nullable=True),
        _number("sequence"),
        _number("due_at", nullable=True),
        _number("lease_expires_at", default=0),
        _number("lease_token", default=0),
        _number("attempt", default=0),
    )
    _index("instances_live", "instances", ["project_id", "created_at", "id"], where="status <> 'deleted'")
    _index("instances_by_status", "instances", ["project_id", "status", "created_at", "id"])
    _index("instances_due", "instances", ["due_at"], where="due_at IS NOT NULL")
    _index("instances_by_provider", "instances", ["provider", "id"], where="status <> 'deleted'")
    op.create_table(
        "orphans",
        _text("provider", primary_key=True),
        _text("handle", primary_key=True),
        _text("instance_id"),
        _number("first_seen_at"),
        _number("destroyed_at", nullable=True),
    )
    op.create_table(
        "instance_counts",
        _text("project_id", primary_key=True),
        _text("status", primary_key=True),
        _number("count"),
    )
