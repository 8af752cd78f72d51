"""Builders: `make.instance(db, status="running")` walks the real verbs and asks for nothing that does not matter.

Everything takes the `Database` and returns what core returns. Amounts are dollars as text. Missing pieces (a
project, a catalogue, an SSH key) are made on the way.
"""

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Concatenate, ParamSpec

from berth.base.clock import Instant
from berth.base.db import Database, Tx
from berth.base.money import Micros, from_usd
from berth.core import (
    billing,
    catalog,
    events,
    instances,
    keys,
    ledger,
    projects,
    sessions,
    volumes,
    webhooks,
)
from berth.core.billing import Rules
from berth.core.driver import (
    Catalogue,
    Power,
    ProviderClusterType,
    ProviderImage,
    ProviderOffer,
    ProviderTemplate,
    ProviderVolumeType,
    Sighting,
    VolumeSighting,
)
from berth.core.events import Actor
from berth.core.instances import Instance, OrderSpec, Status
from berth.core.projects import ApiKey, KeySpec
from berth.core.sessions import Opened, SessionSpec
from berth.core.volumes import NewVolume, Volume
from tests import stock

BOOT_TIMEOUT_S = stock.BOOT_TIMEOUT_S
H100 = stock.H100
PLACES = stock.PLACES
image = stock.image
offer = stock.offer
template = stock.template
volume_type = stock.volume_type
PEPPER = b"the pepper of tests, thirty-two b"
PROVIDER = "sandbox"
RULES = Rules()
WEBHOOK_RULES = webhooks.Rules(allow_private=True)
"""Receivers of tests are on this host."""
SESSION_RULES = sessions.Rules()

P = ParamSpec("P")
_numbers = count(1)


@dataclass(frozen=True)
class Customer:
    """A project as its owner holds it: `by` acts, `api_key` and the OAuth client are in the clear."""

    id: str
    name: str
    by: Actor
    api_key: str
    client_id: str
    client_secret: str


def project(db: Database, name: str | None = None, *, credit: str = "50") -> Customer:
    """A project with `credit` dollars."""
    made = db.write_now(projects.create, name or f"project-{next(_numbers)}", pepper=PEPPER)
    api_key = db.read_now(projects.authenticate, made.api_key, pepper=PEPPER)
    customer = Customer(
        made.project.id,
        made.project.name,
        projects.actor_of(api_key),
        made.api_key,
        made.client_id,
        made.client_secret,
    )
    if from_usd(credit):
        topup(db, customer.by, credit)
    return customer


def topup(db: Database, by: Actor, credit: str, *, reference: str | None = None) -> ledger.Entry:
    """Credit that is added, or with a negative amount taken, once for each reference."""
    amount = from_usd(credit)
    reference = reference or f"reference-{next(_numbers)}"
    if amount > 0:
        return db.write_now(ledger.topup, by, amount, reference=reference)
    posting = ledger.Posting(ledger.Code.ADJUSTMENT, reference, 0, amount)
    return db.write_now(ledger.post, by.project, posting)


def key(
    db: Database,
    by: Actor,
    name: str = "ci",
    *,
    scopes: Sequence[str] | None = None,
    expires_at: Instant | None = None,
    allowed_cidrs: Sequence[str] = (),
) -> tuple[ApiKey, str]:
    """An API key and its secret."""
    spec = KeySpec(name=name, scopes=scopes, expires_at=expires_at, allowed_cidrs=allowed_cidrs)
    return db.write_now(projects.create_key, by, spec, pepper=PEPPER)


def allowed(by: Actor, *scopes: str) -> Actor:
    """The same project with these scopes and no others."""
    return Actor(by.project, by.key_id, by.lineage, frozenset(scopes))


def public_key(comment: str = "test@example") -> str:
    """A fresh ed25519 line; nobody has its private half."""
    members = (b"ssh-ed25519", os.urandom(32))
    blob = b"".join(len(member).to_bytes(4) + member for member in members)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}"


def ssh_key(
    db: Database, by: Actor, name: str = "laptop", *, public_key_line: str | None = None
) -> keys.SshKey:
    return db.write_now(keys.add, by, name=name, public_key=public_key_line or public_key())


def catalogue(
    db: Database,
    *offers: ProviderOffer,
    images: Sequence[ProviderImage] | None = None,
    volume_types: Sequence[ProviderVolumeType] | None = None,
    cluster_types: Sequence[ProviderClusterType] = (),
    provider: str = PROVIDER,
    margin_percent: int = 0,
    listed_at: Instant | None = None,
) -> int:
    """What `provider` sells from now on: one H100 offer and one image unless told otherwise."""
    sold = Catalogue(
        offers or (offer(),),
        (image(),) if images is None else images,
        (volume_type(),) if volume_types is None else volume_types,
        cluster_types,
    )

    def take(tx: Tx) -> int:
        asked_at = tx.now if listed_at is None else listed_at
        return catalog.refresh(tx, provider, sold, listed_at=asked_at, margin_percent=margin_percent)

    return db.write_now(take)


def spec(
    ssh_key_ids: Sequence[str],
    *,
    instance_type: str = H100,
    location: str = "FIN-01",
    image_slug: str = "ubuntu-24.04",
    hostname: str = "my-training-run",
    **members: Any,
) -> OrderSpec:
    """An order, for `instances.order`."""
    return OrderSpec(
        instance_type=instance_type,
        image=image_slug,
        hostname=hostname,
        ssh_key_ids=ssh_key_ids,
        location=location,
        **members,
    )


def ordered(db: Database, by: Actor | None = None, *, rules: Rules = RULES, **members: Any) -> Instance:
    """An order that was accepted. Makes the project, the catalogue and the SSH key where there are none."""
    if by is None:
        by = project(db).by
    if not db.read_now(catalog.locations, by):
        catalogue(db)
    if "ssh_key_ids" not in members:
        known = db.read_now(keys.list_keys, by)
        members["ssh_key_ids"] = [known[0].id if known else ssh_key(db, by).id]
    return db.write_now(instances.order, by, spec(**members), rules)


def instance(
    db: Database, status: str = "running", by: Actor | None = None, *, rules: Rules = RULES, **members: Any
) -> Instance:
    """An instance that came to `status` by the verbs that lead there, all at the clock's present instant.

    `provisioning` means that its create was sent and answered. `**members` are those of `spec`.
    """
    made = ordered(db, by, rules=rules, **members)
    wanted = Status(status)
    if wanted is Status.ORDERED:
        return made
    if wanted is Status.FAILED_NO_CAPACITY:
        return seen(db, made, instances.fail_over, is_sold_out=True, reason="sold out", offers_allowed=0)
    made = provisioned(db, made)
    if wanted is Status.PROVISIONING:
        return made
    if wanted is Status.ERROR:
        return seen(db, made, instances.fail, reason="provisioning_timeout")
    made = seen(db, made, instances.reachable, sighting(made))
    if wanted is Status.RUNNING:
        return made
    if wanted is Status.OFFLINE:
        db.write_now(instances.stop, owner(made), made.id)
        return seen(db, made, instances.stopped, releases_hardware=True)
    made = db.write_now(instances.delete, owner(made), made.id, rules)
    return made if wanted is Status.DELETING else seen(db, made, instances.gone, rules)


def provisioned(db: Database, made: Instance) -> Instance:
    """An ordered instance whose create was sent and answered."""
    seen(db, made, instances.intend_create, boot_timeout_s=BOOT_TIMEOUT_S)
    return seen(db, made, instances.created, sighting(made))


def sighting(made: Instance, power: Power = Power.RUNNING, *, handle: str | None = None) -> Sighting:
    """How its provider describes it."""
    return Sighting(
        label=made.label("install"),
        handle=handle or made.handle or f"at-{made.provider}-{made.id}",
        power=power,
        ip="192.0.2.7",
        ssh_port=22,
        ssh_user="root",
    )


def seen(
    db: Database,
    made: Instance,
    verb: Callable[Concatenate[Tx, Instance, P], Instance | None],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Instance:
    """Applies a verb of the provisioning loop to the row as it is now, under the lease it has now."""

    def apply(tx: Tx) -> Instance | None:
        return verb(tx, instances.get(tx, owner(made), made.id), *args, **kwargs)

    changed = db.write_now(apply)
    assert changed is not None, f"{getattr(verb, '__name__', verb)} wrote nothing"
    return changed


def webhook(
    db: Database, by: Actor, *patterns: str, url: str = "https://receiver.example/hook"
) -> tuple[webhooks.Webhook, str]:
    """A webhook that is told of `patterns`, or of everything, and its secret."""
    return db.write_now(
        webhooks.create,
        by,
        url=url,
        events=patterns or ("*",),
        pepper=PEPPER,
        rules=WEBHOOK_RULES,
    )


@dataclass(frozen=True)
class DeliveryRow:
    """A row of the outbox, as it lies there."""

    id: str
    webhook_id: str
    event_type: str
    status: str
    stage: str
    attempts: int
    due_at: Instant | None
    created_at: Instant


def deliveries(db: Database) -> list[DeliveryRow]:
    """Every delivery there is, oldest first."""
    statement = "SELECT id, webhook_id, event_type, status, stage, attempts, due_at, created_at FROM deliveries ORDER BY seq"
    return db.read_now(lambda tx: [DeliveryRow(*row) for row in tx.all(statement)])


def owner(made: Instance) -> Actor:
    """Its project with every scope, as an actor."""
    return events.system(made.project, "test")


def now(db: Database, made: Instance) -> Instance:
    """The row as it is now."""
    return db.read_now(instances.get, owner(made), made.id)


def balance(db: Database, by: Actor) -> billing.Balance:
    """The project's money, live to the second."""
    return db.read_now(billing.balance, by.project, RULES)


def micros(amount: str) -> Micros:
    return from_usd(amount)


def session_spec(
    *,
    consumer_id: str = "my-application",
    offer_id: str = f"{PROVIDER}-{H100}@FIN-01",
    workload_type: str = "training",
    reservation_hours: int | None = 2,
    **members: Any,
) -> SessionSpec:
    """What a consumer asks for, for `sessions.open_session`."""
    return SessionSpec(consumer_id, offer_id, workload_type, reservation_hours, **members)


def session(
    db: Database,
    by: Actor | None = None,
    *,
    rules: sessions.Rules = SESSION_RULES,
    template: ProviderTemplate | None = None,
    **members: Any,
) -> Opened:
    """A session that was accepted. Makes the project and the catalogue where there are none."""
    if by is None:
        by = project(db).by
    if not db.read_now(catalog.locations, by):
        catalogue(db)
    return db.write_now(
        sessions.open_session,
        by,
        session_spec(**members),
        rules,
        RULES,
        public_key=public_key("session"),
        pepper=PEPPER,
        template=template,
    )


def volume(
    db: Database,
    status: str = "detached",
    by: Actor | None = None,
    *,
    to: Instance | None = None,
    name: str = "data",
    size_gb: int = 100,
    kind: str = "NVMe",
    location: str = "FIN-01",
) -> Volume:
    """A volume that came to `status` by the verbs that lead there. `attached` is to a running instance unless `to` says."""
    if by is None:
        by = project(db).by if to is None else owner(to)
    if not db.read_now(catalog.locations, by):
        catalogue(db)
    made = db.write_now(instances.create_volume, by, NewVolume(name, size_gb, kind), location)
    if status == "ordered":
        return made
    made = seen_volume(db, made, volumes.created, volume_sighting(made))
    if status in {"attaching", "attached"}:
        host = to or instance(db, "running", by)
        made = db.write_now(instances.attach_volume, by, made.id, host.id)
        return made if status == "attaching" else seen_volume(db, made, volumes.attached, host.id)
    return db.write_now(volumes.trash, by, made.id) if status == "deleted" else made


def volume_sighting(made: Volume) -> VolumeSighting:
    """How its provider describes it."""
    return VolumeSighting(
        made.label("install"), made.handle or f"at-{made.provider}-{made.id}", made.wanted_size_gb
    )


def seen_volume(
    db: Database,
    made: Volume,
    verb: Callable[Concatenate[Tx, Volume, P], Volume | None],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Volume:
    """Applies a verb of the volumes loop to the row as it is now, under the lease it has now."""

    def apply(tx: Tx) -> Volume | None:
        return verb(tx, volumes.get(tx, events.system(made.project, "test"), made.id), *args, **kwargs)

    changed = db.write_now(apply)
    assert changed is not None, f"{getattr(verb, '__name__', verb)} wrote nothing"
    return changed


def volume_now(db: Database, made: Volume) -> Volume:
    """The row as it is now."""
    return db.read_now(volumes.get, events.system(made.project, "test"), made.id)


def volume_of(db: Database, by: Actor, shown_id: str) -> Volume:
    """The row of what a face shows under `vol_…`."""
    return db.read_now(volumes.get, by, shown_id.removeprefix("vol_"))
