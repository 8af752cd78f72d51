"""Customers and operators who do, at random, whatever the API and the command line let them."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Concatenate

from berth.base.clock import Instant
from berth.base.db import P, Tx
from berth.base.money import Micros, from_usd
from berth.core import (
    billing,
    events,
    instances,
    ledger,
    projects,
    sessions,
    volumes,
    waitlist,
    webhooks,
)
from berth.core.billing import Alerts, Limits, OnBudget
from berth.core.errors import Refusal
from berth.core.instances import AutoDelete, Instance
from berth.core.ledger import Code
from berth.core.sessions import StoragePolicy
from berth.core.volumes import Fate, NewVolume, Volume
from tests import make, queueing
from tests.world import truth
from tests.world.world import World

PROJECTS_AT_MOST = 6
LATELY = 8
"""How many of the newest instances anybody still cares about."""
HOSTNAMES = ("my-training-run", "web", "db")
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f session"
OPERATOR = events.operator("berth")


class People:
    """Acts on a world; each act is noted in `story`."""

    def __init__(self, world: World, random: Random, story: list[str]) -> None:
        self.world = world
        self.random = random
        self.story = story
        self.places = [offer.place.code for each in world.providers for offer in each.offers]
        self.customers: list[make.Customer] = []
        self.subscribed: dict[str, tuple[str, int]] = {}
        """Webhooks that are told of everything: whose each is, and the last event before it."""
        self.acts: list[tuple[int, Callable[[], None]]] = [
            (10, self.order),
            (8, self.ask),
            (5, self.delete),
            (8, self.store),
            (6, self.wait_in_line),
            (4, self.change_place),
            (3, self.money),
            (2, self.correct),
            (3, self.choose),
            (2, self.end_by_itself),
            (4, self.rent),
            (3, self.leave),
            (1, self.hostnames),
            (1, self.keys),
            (1, self.hooks),
        ]

    def act(self) -> None:
        """One of them does one thing."""
        weights, acts = zip(*self.acts, strict=True)
        self.random.choices(acts, weights)[0]()

    def settle_down(self, *amounts: str) -> None:
        """The first customers, one of whom wants to be told of everything."""
        self.customers = [make.project(self.world.db, credit=credit) for credit in amounts]
        first = self.customers[0]
        last = truth.rows(self.world.db, "SELECT MAX(seq) FROM events")[0][0]
        webhook, _ = make.webhook(self.world.db, first.by, "*")
        self.subscribed[webhook.id] = (first.id, last)

    def _known(self, project: str = "") -> list[str]:
        """The ids of the newest instances, of one project or of all, however they ended."""
        return [
            row[0]
            for row in truth.rows(
                self.world.db,
                "SELECT id FROM instances WHERE :project IN ('', project_id) ORDER BY created_at DESC, id"
                " LIMIT :limit",
                project=project,
                limit=LATELY,
            )
        ]

    # Instances.

    def order(self) -> None:
        customer = self._anybody()
        members = self._config(customer)
        try:
            made = queueing.bought(
                self.world.db, customer.by, location=self.random.choice(self.places), **members
            )
            self.note(f"order {made.id} {made.volume_ids} at {made.location}")
        except Refusal as refusal:
            self.note(f"order refused: {refusal.code}")

    def ask(self) -> None:
        world = self.world
        verb = self.random.choice(
            [world.stop, world.stop_keeping, world.stop_spending, world.start, world.start, world.restart]
        )
        self._try(verb)

    def delete(self) -> None:
        self._try(self.random.choice([self.world.delete, self.world.delete, self.world.hibernate]))

    def switch_off(self) -> Instance | None:
        """Somebody stops something that runs; what that was."""
        running = "SELECT id FROM instances WHERE status = 'running' AND wanted = 'running' ORDER BY id"
        found = truth.rows(self.world.db, running)
        if not found:
            return None
        instance = self.world.db.read_now(instances.find, self.random.choice(found)[0])
        assert instance is not None
        self._say_of(self.world.stop, instance)
        return instance

    def switch_on(self, instance: Instance) -> None:
        self._say_of(self.world.start, instance)

    def end_by_itself(self) -> None:
        if found := self._any_instance():
            wanted = self._auto_delete()
            self._ask_for(
                f"reserve {found.id} {wanted}", instances.reserve, make.owner(found), found.id, wanted
            )

    # Sessions.

    def rent(self) -> None:
        """Somebody's program takes an offer, with retries or without, to keep its disk or not."""
        customer, provider = self._anybody(), self.random.choice(self.world.providers)
        offer = self.random.choice(provider.offers)
        is_kept = self.random.random() < 0.3
        spec = make.session_spec(
            consumer_id=self.random.choice(("one", "other")),
            offer_id=f"{provider.name}-{offer.provider_offer_id}",
            reservation_hours=self.random.choice((1, 12)),
            auto_retry=self.random.random() < 0.5,
            retry_scope=self.random.choice(("same_gpu", "any")),
            storage_policy=StoragePolicy.PRESERVE if is_kept else StoragePolicy.DESTROY,
        )
        self._ask_for(
            f"rent {spec}",
            sessions.open_session,
            customer.by,
            spec,
            self.world.session_rules,
            self.world.rules,
            public_key=PUBLIC_KEY,
            pepper=make.PEPPER,
        )

    def leave(self) -> None:
        """A session is done with, destroyed or prolonged."""
        found = self._any_instance()
        if found is None or not found.is_session:
            return
        by, rules = make.owner(found), self.world.rules
        asked = self.random.choice(("done", "destroy", "extend"))
        if asked == "extend":
            self._ask_for(f"extend {found.id}", sessions.extend, by, found.id, 1, self.world.session_rules)
        elif asked == "done":
            self._ask_for(f"done {found.id}", sessions.done, by, found.id, rules)
        else:
            self._ask_for(f"destroy {found.id}", sessions.destroy, by, found.id, rules)

    def hostnames(self) -> None:
        customer = self._anybody()
        is_unique = self.random.random() < 0.5
        self._ask_for(
            f"hostnames unique={is_unique}",
            projects.set_preferences,
            customer.by,
            unique_active_hostname=is_unique,
        )

    # Volumes.

    def store(self) -> None:
        """Something is asked of a volume, or for a new one."""
        customer = self._anybody()
        known, by = self._volumes_of(customer), customer.by
        if not known or self.random.random() < 0.3:
            wanted = NewVolume("data", self.random.choice([10, 50]), self._type())
            self._ask_for(f"create {wanted}", instances.create_volume, by, wanted, "FIN-01")
            return
        volume, hosts = self.random.choice(known), self._known(customer.id)
        asked = self.random.choice(
            ["attach", "attach", "detach", "resize", "trash", "purge", "rename", "clone"]
        )
        if asked == "attach" and hosts:
            host = self.random.choice(hosts)
            self._ask_for(f"attach {volume.id} to {host}", instances.attach_volume, by, volume.id, host)
        elif asked == "detach":
            self._ask_for(f"detach {volume.id}", instances.detach_volume, by, volume.id)
        elif asked == "resize":
            grown = volume.size_gb + self.random.choice([5, 70])
            self._ask_for(f"resize {volume.id} to {grown}", volumes.resize, by, volume.id, grown)
        elif asked == "trash":
            self._ask_for(f"trash {volume.id}", volumes.trash, by, volume.id)
        elif asked == "purge":
            self._ask_for(f"purge {volume.id}", volumes.purge, by, volume.id)
        elif asked == "clone":
            self._ask_for(f"clone {volume.id}", instances.clone_volume, by, volume.id)
        elif asked == "rename":
            self._ask_for(f"rename {volume.id}", volumes.rename, by, volume.id, "other")
        if self.random.random() < 0.3:
            self._restore(customer)

    def _restore(self, customer: make.Customer) -> None:
        trashed = truth.rows(
            self.world.db,
            "SELECT id FROM volumes WHERE project_id = :project AND wanted = 'trashed' AND os_of IS NULL"
            " ORDER BY id",
            project=customer.id,
        )
        if trashed:
            volume_id = self.random.choice(trashed)[0]
            self._ask_for(f"restore {volume_id}", volumes.restore, customer.by, volume_id)

    # The waitlist.

    def wait_in_line(self) -> None:
        """One takes a place, or several after each other."""
        for _ in range(self.random.choice([1, 1, 3])):
            self._join()

    def _join(self) -> None:
        is_new = len(self.customers) < PROJECTS_AT_MOST and self.random.random() < 0.5
        if is_new:
            self.customers.append(
                make.project(self.world.db, credit=self.random.choice(["5", "45", "200", "200"]))
            )
        customer = self.customers[-1] if is_new else self._anybody()
        is_auto = self.random.random() < 0.7
        location = self.random.choice([*self.places, None])
        members: dict[str, Any] = {"hostname": self.random.choice(HOSTNAMES)} if is_auto else {}
        price = self.random.choice([None, None, "1.5"])
        try:
            place = queueing.waiting(
                self.world.db, customer.by, location=location, is_auto=is_auto, max_price=price, **members
            )
            self.note(f"join {place.entry.id} at {location}, auto={is_auto}, most={price}")
        except Refusal as refusal:
            self.note(f"join refused: {refusal.code}")

    def change_place(self) -> None:
        found = truth.rows(
            self.world.db, "SELECT id, project_id FROM waitlist_entries ORDER BY ticket DESC LIMIT 6"
        )
        if not found:
            return
        entry_id, project = self.random.choice(found)
        by = next(customer.by for customer in self.customers if customer.id == project)
        if self.random.random() < 0.4:
            self._ask_for(f"leave {entry_id}", waitlist.cancel, by, entry_id, queueing.WAITING)
            return
        wishes: list[dict[str, object]] = [
            {"max_price": from_usd("1.4")},
            {"max_price": None},
            {"location": "FIN-02"},
            {"expires_at": self.world.turned(3600)},
            {"is_auto": False},
        ]
        wish = self.random.choice(wishes)
        self._ask_for(
            f"change {entry_id} {wish}", waitlist.change, by, entry_id, wish, queueing.WAITING, make.RULES
        )

    # Money.

    def money(self) -> None:
        """An operator adds credit, under a new name, a known one, or that of something that is billed."""
        account = self._anybody().id
        names = [f"new-{len(self.story)}", "monthly", *self._known()[:1]]
        code = self.random.choice([Code.TOPUP, Code.TOPUP, Code.PROMO, Code.ADJUSTMENT, Code.REFUND])
        amount = from_usd(self.random.choice(["0.01", "3", "25"]))
        name = self.random.choice(names)
        self._ask_for(
            f"{code} {amount} to {account} as {name}",
            ledger.credit,
            OPERATOR,
            account,
            code,
            amount,
            reference=name,
        )

    def correct(self) -> None:
        """An operator takes a row back; that may be the credit that somebody lives on."""
        found = truth.rows(self.world.db, "SELECT seq, account_id FROM entries ORDER BY seq DESC LIMIT 12")
        if found:
            seq, account = self.random.choice(found)
            self._ask_for(f"reverse a row of {account}", ledger.reverse, OPERATOR, account, seq)

    def choose(self) -> None:
        """What may be spent, and when to be told."""
        by = self._anybody().by
        if self.random.random() < 0.3:
            chosen = Alerts((from_usd("40"), from_usd("10")), (7200,), is_enabled=self.random.random() < 0.7)
            self._ask_for(f"{chosen}", billing.set_alerts, by, chosen)
            return
        limits = Limits(
            max_hourly=self._maybe("2", "5"),
            monthly_budget=self._maybe("0.2", "1", "30"),
            on_budget=self.random.choice(list(OnBudget)),
            auto_resume=self.random.random() < 0.6,
        )
        self._ask_for(f"{limits}", billing.set_limits, by, limits)

    # Keys, and who is told.

    def keys(self) -> None:
        by = self._anybody().by
        key = self.random.choice(list(self.world.db.read_now(projects.list_keys, by)))
        if self.random.random() < 0.5:
            self._ask_for(
                f"rotate {key.id}", projects.rotate_key, by, key.id, overlap_s=60, pepper=make.PEPPER
            )
        else:
            self._ask_for(f"revoke {key.id}", projects.revoke_key, by, key.id)

    def hooks(self) -> None:
        """A second webhook comes and goes beside the one that is told of everything."""
        by = self.customers[0].by
        known = [
            each
            for each in self.world.db.read_now(webhooks.list_webhooks, by)
            if each.id not in self.subscribed
        ]
        if known:
            self._ask_for(f"forget webhook {known[0].id}", webhooks.delete, by, known[0].id)
        else:
            webhook, _ = make.webhook(self.world.db, by, "instance.*", "billing.*")
            self.note(f"webhook {webhook.id}")

    def note(self, act: str) -> None:
        self.story.append(f"{self.world.clock.now() / 1_000_000:.1f}: {act}")

    def _config(self, customer: make.Customer) -> dict[str, Any]:
        """What else an order says, now and then: volumes, an end, a hostname."""
        members: dict[str, Any] = {"hostname": self.random.choice(HOSTNAMES)}
        if self.random.random() < 0.2:
            members["auto_delete"] = self._auto_delete()
        if self.random.random() < 0.4:
            free = [
                volume.id
                for volume in self._volumes_of(customer)
                if volume.status is volumes.Status.DETACHED and self.random.random() < 0.3
            ]
            fate = self.random.choice(list(Fate))
            members["volumes"] = [NewVolume("data", 20, self._type(), fate)] * self.random.choice([0, 1, 1])
            members["existing_volumes"] = free[:1]
        disks = [each.id for each in self._volumes_of(customer) if each.is_os_volume]
        if disks and self.random.random() < 0.5:
            members["image_slug"] = self.random.choice(disks)
        return members

    def _auto_delete(self) -> AutoDelete:
        kind = self.random.choice(["at", "spend", "idle", "never"])
        if kind == "at":
            return AutoDelete(at=self._soon())
        if kind == "spend":
            return AutoDelete(max_spend=from_usd(self.random.choice(["0.35", "2"])))
        return AutoDelete(idle_s=600) if kind == "idle" else AutoDelete()

    def _soon(self) -> Instant:
        return self.world.turned(self.random.choice([60, 1000, 5000]))

    def _maybe(self, *amounts: str) -> Micros | None:
        amount = self.random.choice([None, *amounts])
        return None if amount is None else from_usd(amount)

    def _type(self) -> str:
        return self.random.choice(["NVMe", "NVMe", "Shared"])

    def _volumes_of(self, customer: make.Customer) -> Sequence[Volume]:
        return self.world.db.read_now(volumes.live_of, customer.id, limit=50)

    def _anybody(self) -> make.Customer:
        return self.random.choice(self.customers)

    def _any_instance(self) -> Instance | None:
        known = self._known()
        return self.world.db.read_now(instances.find, self.random.choice(known)) if known else None

    def _try(self, verb: Callable[[Instance], Instance]) -> None:
        instance = self._any_instance()
        if instance is not None:
            self._say_of(verb, instance)

    def _say_of(self, verb: Callable[[Instance], Instance], instance: Instance) -> None:
        try:
            verb(instance)
            self.note(f"{verb.__name__} {instance.id}")
        except Refusal as refusal:
            self.note(f"{verb.__name__} {instance.id} refused: {refusal.code}")

    def _ask_for(
        self, story: str, verb: Callable[Concatenate[Tx, P], object], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        try:
            self.world.act(verb, *args, **kwargs)
            self.note(story)
        except Refusal as refusal:
            self.note(f"{story} refused: {refusal.code}")
