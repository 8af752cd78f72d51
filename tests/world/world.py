"""A whole Berth on a real database, simulated providers and a clock turned by hand.

`settle` and `live` let the loops work without anybody waiting. When the world's fate kills it, the next one opens
on the same database and providers and goes on, unless the test asked to see the death itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, Concatenate, Protocol

from berth.base.clock import HOUR, SECOND, Instant, after
from berth.base.db import Database, P, R, Tx
from berth.base.login import Answer
from berth.base.login import Outcome as LoginOutcome
from berth.core import clusters as core_clusters
from berth.core import instances, projects, sessions, volumes, webhooks
from berth.core.billing import Rules
from berth.core.driver import Label
from berth.core.instances import Instance, Status
from berth.core.sessions import Session
from berth.core.volumes import Volume
from berth.core.webhooks import Outcome
from berth.faces import huddle
from berth.loops import (
    catalog,
    clusters,
    credit,
    deliveries,
    delivery_log,
    housekeeping,
    inventory,
    metering,
    notices,
    observation,
    provisioning,
    reservations,
    templates,
    volume_observation,
    waitlist,
)
from berth.loops import sessions as sessions_loop
from berth.loops import volumes as volumes_loop
from berth.loops.world import Courier, Letter, Patience, Post, Report
from berth.loops.world import World as LoopWorld
from tests import make
from tests.world import doors, grouped, stored, truth
from tests.world.fate import Fate, MortalDatabase, MortalDriver
from tests.world.provider import Provider

TICKS = {
    "catalog": catalog.tick,
    "templates": templates.tick,
    "inventory": inventory.tick,
    "notices": notices.tick,
    "provisioning": provisioning.tick,
    "volumes": volumes_loop.tick,
    "observation": observation.tick,
    "volume_observation": volume_observation.tick,
    "clusters": clusters.tick,
    "metering": metering.tick,
    "deliveries": deliveries.tick,
    "delivery_log": delivery_log.tick,
    "waitlist": waitlist.tick,
    "reservations": reservations.tick,
    "sessions": sessions_loop.tick,
    "credit": credit.tick,
    "housekeeping": housekeeping.tick,
}
SETTLES_WITHIN_S = 7200
TICKS_AT_MOST = 2000
CLUSTERS_AT_MOST = 1000
ROUNDS_AT_MOST = 10
PATIENCE = Patience()


class Turnable(Protocol):
    """A clock that a test turns."""

    def now(self) -> Instant: ...

    def set(self, instant: Instant) -> None: ...


class World:
    """One control plane at a time over `db` and `providers`."""

    def __init__(
        self,
        db: Database,
        clock: Turnable,
        *providers: Provider,
        fate: Fate | None = None,
        patience: Patience = PATIENCE,
        rules: Rules = make.RULES,
        install_id: str | None = None,
        post: Post | None = None,
        webhook_rules: webhooks.Rules = make.WEBHOOK_RULES,
    ) -> None:
        self.db = db
        self.clock = clock
        self.providers = providers or (Provider(clock),)
        self.install_id = install_id or db.write_now(projects.installation_id)
        self.patience = patience
        self.rules = rules
        self.letters: list[Letter] = []
        """What was sent to receivers, oldest first. Without a `post` every one of them answers 204."""
        self.post = post
        self.webhook_rules = webhook_rules
        self.session_rules = sessions.Rules()
        self.pokes: list[str] = []
        self.deaths = 0
        self._open(fate or Fate())

    @property
    def names(self) -> list[str]:
        return [provider.name for provider in self.providers]

    @property
    def provider(self) -> Provider:
        return self.providers[0]

    # What people do.

    async def open_shop(self) -> None:
        """Asks the providers what they sell."""
        await self.tick("catalog")

    async def customer(self, credit: str = "1000") -> make.Customer:
        if not make_offers(self.db):
            await self.open_shop()
        return make.project(self.db, credit=credit)

    async def order(self, by: make.Customer | None = None, **members: object) -> Instance:
        customer = by or await self.customer()
        return make.ordered(self.db, customer.by, rules=self.rules, **members)

    async def running(self, by: make.Customer | None = None, **members: object) -> Instance:
        """An order that has come to run."""
        ordered = await self.order(by, **members)
        await self.settle()
        seen = self.now(ordered)
        assert seen.status is Status.RUNNING, seen
        return seen

    def act(self, verb: Callable[Concatenate[Tx, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """What a face does: one verb, one transaction."""
        return self.db.write_now(verb, *args, **kwargs)

    def stop(self, instance: Instance) -> Instance:
        return self.act(instances.stop, make.owner(instance), instance.id)

    def stop_keeping(self, instance: Instance) -> Instance:
        return self.act(instances.stop, make.owner(instance), instance.id, keep_reserved=True)

    def stop_spending(self, instance: Instance) -> Instance:
        """As when no credit is left."""
        return self.act(instances.stop, make.owner(instance), instance.id, reason="insufficient_credits")

    def start(self, instance: Instance) -> Instance:
        return self.act(instances.start, make.owner(instance), instance.id)

    def restart(self, instance: Instance) -> Instance:
        return self.act(instances.restart, make.owner(instance), instance.id)

    def delete(self, instance: Instance) -> Instance:
        return self.act(instances.delete, make.owner(instance), instance.id, self.rules)

    def hibernate(self, instance: Instance) -> Instance:
        """It is deleted but for its boot disk."""
        by = make.owner(instance)
        return self.act(instances.delete, by, instance.id, self.rules, os_volume=volumes.Fate.DETACH)

    async def session(self, by: make.Customer | None = None, **members: Any) -> Session:
        """One that was accepted."""
        customer = by or await self.customer()
        return make.session(self.db, customer.by, rules=self.session_rules, **members).session

    async def running_session(self, by: make.Customer | None = None, **members: Any) -> Session:
        """One that has come to run."""
        made = await self.session(by, **members)
        await self.settle()
        seen = self.seen(made)
        assert seen.status is sessions.Status.RUNNING, seen
        return seen

    # What time does.

    async def tick(self, *names: str) -> list[Report]:
        """One tick of each loop named, or of all; a world that dies of it is followed by the next."""
        reports = []
        for name in names or TICKS:
            try:
                reports.append(await TICKS[name](self.loops))
            except BaseException:
                if not self.fate.is_dead:
                    raise
                self._open(Fate())
                self.deaths += 1
        return reports

    def begin(self, name: str) -> "asyncio.Task[Report]":
        """A tick that runs beside the test, for example until it is frozen."""
        return asyncio.create_task(_awaited(TICKS[name](self.loops)))

    async def settle(self, *, within_s: int = SETTLES_WITHIN_S) -> None:
        """Lets what is wanted come about, turning the clock to whatever is due next. The trash is left as it is."""
        ends_at = after(self.clock.now(), seconds=within_s)
        for _ in range(TICKS_AT_MOST):
            due_at, loop = self._next_due()
            if due_at is None or due_at > ends_at + HOUR:
                return
            if due_at > ends_at:
                break
            self.clock.set(max(due_at, self.clock.now()))
            await self.tick(loop)
        raise AssertionError(f"not settled: {self.unsettled()}")

    async def live(self, seconds: float, *, step_s: float = 20, loops: Sequence[str] = ()) -> None:
        """Lets every loop, or those named, work while time passes: what brings about what is wanted whenever something
        is due, the others by turns.
        """
        ends_at = Instant(self.clock.now() + int(seconds * SECOND))
        while self.clock.now() < ends_at:
            turn_at = min(ends_at, Instant(self.clock.now() + int(step_s * SECOND)))
            await self._provision_until(turn_at)
            self.clock.set(turn_at)
            await self.tick(*loops)

    async def _provision_until(self, turn_at: Instant) -> None:
        for _ in range(TICKS_AT_MOST):
            due_at, loop = self._next_due()
            if due_at is None or due_at > turn_at:
                return
            self.clock.set(max(due_at, self.clock.now()))
            await self.tick(loop)
        raise AssertionError(f"always something due: {self.unsettled()}")

    def _next_due(self) -> tuple[Instant | None, str]:
        """When one of the loops that bring about what is wanted has something to do next, and which."""
        due = [
            (due_at, loop)
            for loop, verb in (("provisioning", instances.next_due), ("volumes", volumes.next_due))
            if (due_at := self.db.read_now(verb, providers=self.names)) is not None
        ]
        if self.db.read_now(core_clusters.unsettled, limit=CLUSTERS_AT_MOST)[0]:
            due.append((self.clock.now(), "clusters"))
        return min(due, default=(None, ""))

    def turn(self, seconds: float) -> None:
        """Time passes and nothing works."""
        self.clock.set(Instant(self.clock.now() + int(seconds * SECOND)))

    def turned(self, seconds: float) -> Instant:
        """The instant in `seconds`."""
        return Instant(self.clock.now() + int(seconds * SECOND))

    async def calm(self, *, step_s: float = 20, loops: Sequence[str] = ()) -> None:
        """Every fault ends, and all loops get the time that they need."""
        for provider in self.providers:
            provider.heals()
        lag_s = max(provider.listing_lag_s for provider in self.providers)
        await self.live(2 * self.patience.orphan_grace_s + 600 + lag_s, step_s=step_s, loops=loops)
        for _ in range(ROUNDS_AT_MOST):
            await self.settle()
            for _again in range(2):
                self.turn(1)  # a listing of the instant at which something was made may lack it
                await self.tick()
            # What a loop has just begun, such as the end of something whose time has come, is still to be seen through.
            due_at, _loop = self._next_due()
            if due_at is None or due_at > self.clock.now():
                return

    def crash(self, fate: Fate | None = None) -> None:
        """The control plane dies between two calls, and a new one opens."""
        self.fate.is_dead = True
        self._open(fate or Fate())

    def doomed(self, call: int, *, is_after: bool) -> None:
        """The control plane dies at its `call`-th outside call from now on, 1 being the next."""
        self._open(Fate(dies_at=call, is_after=is_after))

    def doomed_at_write(self, write: int, *, is_after: bool) -> None:
        """The control plane dies at its `write`-th transaction from now on, 1 being the next."""
        self._open(Fate(dies_at_write=write, is_after=is_after))

    # What is so.

    def now(self, instance: Instance) -> Instance:
        return make.now(self.db, instance)

    def seen(self, session: Session) -> Session:
        """The session as it is now."""
        found = self.db.read_now(sessions.find, session.id)
        assert found is not None
        return found

    def status(self, instance: Instance) -> str:
        return self.now(instance).status.value

    def machines(self, instance: Instance) -> int:
        """How many exist for one order, wherever."""
        return sum(len(provider.of(instance.id)) for provider in self.providers)

    def label(self, instance: Instance) -> Label:
        return instance.label(self.install_id)

    def charged(self, instance: Instance) -> int:
        return truth.charged(self.db, instance.id)

    def volume(self, volume_id: str) -> Volume:
        found = self.db.read_now(volumes.find, volume_id)
        assert found is not None
        return found

    def charged_for(self, volume: Volume) -> int:
        return truth.charged(self.db, volume.id)

    def events(self, instance: Instance) -> list[str]:
        return truth.event_types(self.db, instance.id)

    def free(self, offer: str | None = None) -> int:
        """Units of one offer that we would sell now."""
        name = offer or self.provider.offers[0].provider_offer_id
        return truth.free_units(self.db)[name]

    def check(self, *, at_rest: bool = True) -> None:
        """Nothing is doubled, lost, leaked or wrongly billed."""
        found = truth.problems(self.db, self.providers, at_rest=at_rest)
        found += grouped.problems(self.db, at_rest=at_rest)
        found += stored.problems(self.db, self.providers, at_rest=at_rest)
        assert not found, "\n" + "\n".join(found)

    def unsettled(self) -> list[tuple[object, ...]]:
        return [
            tuple(row)
            for row in truth.rows(
                self.db,
                "SELECT id, status, wanted, handle, create_sent_at, due_at, lease_expires_at, attempt"
                " FROM instances WHERE due_at IS NOT NULL UNION ALL SELECT id, status, wanted, handle,"
                " create_sent_at, due_at, lease_expires_at, attempt FROM volumes WHERE due_at IS NOT NULL",
            )
        ]

    def _open(self, fate: Fate) -> None:
        self.fate = fate
        self.holder = f"process-{id(fate)}"
        database = MortalDatabase(self.db, fate)

        async def probe(ip: str, _port: int, _wait_s: float) -> bool:
            async def ask() -> bool:
                return any(doors.answers(provider, ip) for provider in self.providers)

            return await fate.meets("probe", ask)

        async def login(ip: str, _port: int, _user: str, command: str, _seconds: float) -> Answer:
            async def ask() -> Answer:
                answers = [doors.logs_in(provider, ip, command) for provider in self.providers]
                reached = [answer for answer in answers if answer.outcome is not LoginOutcome.UNREACHABLE]
                return (reached or answers)[0]

            return await fate.meets("login", ask)

        async def health(ip: str, port: int, _seconds: float) -> bool:
            async def ask() -> bool:
                return any(doors.serves(provider, ip, port) for provider in self.providers)

            return await fate.meets("health", ask)

        async def post(letter: Letter) -> Outcome:
            async def ask() -> Outcome:
                self.letters.append(letter)
                return Outcome(204, 1, None) if self.post is None else await self.post(letter)

            return await fate.meets("post", ask)

        self.loops = LoopWorld(
            db=database,
            clock=self.clock,
            drivers={provider.name: MortalDriver(provider, fate) for provider in self.providers},
            install_id=self.install_id,
            holder=self.holder,
            probe=probe,
            courier=Courier(post, huddle.render, make.PEPPER, self.webhook_rules),
            rules=self.rules,
            patience=self.patience,
            poke=self.pokes.append,
            login=login,
            health=health,
            session_rules=self.session_rules,
            dice=Random(1),
        )


async def _awaited(tick: Awaitable[Report]) -> Report:
    return await tick


def make_offers(db: Database) -> int:
    return int(truth.rows(db, "SELECT COUNT(*) FROM offers")[0][0])
