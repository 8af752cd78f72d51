"""The parts list: every face, driver and loop, and how they are wired into one process."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import structlog

from berth import __version__, providers
from berth.base import banner, db, health, money, secrets
from berth.base.asgi import Asgi, Receive, Scope, Send
from berth.base.clock import Clock, SystemClock
from berth.base.db import Database, is_postgresql
from berth.base.db_signals import Signals
from berth.base.login import Visitor
from berth.base.meters import Meters
from berth.base.readiness import Readiness
from berth.core import measures, notices, projects, sessions, webhooks
from berth.core.billing import Period, Rules, Unit
from berth.core.catalog.inventory import Shelf
from berth.core.driver import Driver
from berth.core.waitlist import Rules as WaitingRules
from berth.drivers.metered import Metered
from berth.faces import huddle, shopper, verda
from berth.faces.face import Context, Policy, Quotas, Rates, parse_networks
from berth.loops import (
    catalog,
    clusters,
    credit,
    deliveries,
    delivery_log,
    housekeeping,
    inventory,
    metering,
    observation,
    provisioning,
    reservations,
    templates,
    volume_observation,
    waitlist,
)
from berth.loops import notices as notices_loop
from berth.loops import sessions as sessions_loop
from berth.loops import volumes as volumes_loop
from berth.loops.loop import Loop, Runner
from berth.loops.world import Courier, Mail, Patience, World
from berth.migrations import upgrade
from berth.process import Process
from berth.settings import Period as SoldPeriod
from berth.settings import Settings, SettingsError

_CATALOGUE_PERIODS_S = {"vastai": 60, "tensordock": 30}
"""What marketplaces sell changes by the minute, and asking them costs them more than asking others."""
_MOST_EUR_PER_USD = 1000 * money.USD
DEFAULT_PROJECT = "default"
"""Made by the first start. The shopper API acts for it where it is open."""
_log = structlog.get_logger()


FACES: Mapping[str, Callable[[Context], Asgi]] = {
    huddle.PREFIX: huddle.build,
    huddle.NESTED_PREFIX: partial(huddle.build, is_nested=True),
    verda.PREFIX: verda.build,
    shopper.PREFIX: shopper.build,
}
"""Who calls us, by the prefix of their paths."""

PATHS: Mapping[str, str] = dict.fromkeys(shopper.PATHS, shopper.PREFIX)
"""Where a face has only these paths, and what lies below them, of all that its prefix holds: its prefix, by the path."""

_PLACES = sorted(
    [(prefix, prefix) for prefix in FACES if prefix not in PATHS.values()] + list(PATHS.items()),
    key=lambda place: len(place[0]),
    reverse=True,
)

LOOPS: Sequence[Loop] = (
    Loop("catalog", catalog.tick, catalog.PERIOD_S, workers=catalog.WORKERS),
    Loop("inventory", inventory.tick, inventory.PERIOD_S, rest_s=inventory.REST_S),
    Loop("templates", templates.tick, templates.PERIOD_S),
    Loop("notices", notices_loop.tick, notices_loop.PERIOD_S),
    Loop("provisioning", provisioning.tick, provisioning.PERIOD_S, workers=8),
    Loop("observation", observation.tick, observation.PERIOD_S),
    Loop("volumes", volumes_loop.tick, volumes_loop.PERIOD_S, workers=2),
    Loop("volume_observation", volume_observation.tick, volume_observation.PERIOD_S),
    Loop("clusters", clusters.tick, clusters.PERIOD_S),
    Loop("metering", metering.tick, metering.PERIOD_S),
    Loop("deliveries", deliveries.tick, deliveries.PERIOD_S, workers=deliveries.WORKERS),
    Loop("delivery_log", delivery_log.tick, delivery_log.PERIOD_S),
    Loop("waitlist", waitlist.tick, waitlist.PERIOD_S),
    Loop("reservations", reservations.tick, reservations.PERIOD_S),
    Loop("sessions", sessions_loop.tick, sessions_loop.PERIOD_S),
    Loop("credit", credit.tick, credit.PERIOD_S),
    Loop("housekeeping", housekeeping.tick, housekeeping.PERIOD_S),
)
"""What happens by itself."""


def open_database(settings: Settings) -> Database:
    """The database at its newest schema. Raises SettingsError when it cannot be had."""
    if not is_postgresql(settings.database):
        path = db.sqlite_path(settings.database)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # SQLite gives its other files the mode of this one: whoever shares the machine must not read them.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    upgrade(settings.database)
    return db.connect(settings.database, SystemClock())


def build(settings: Settings) -> Process:
    """Wires everything; nothing runs yet."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    pepper = secrets.load_or_create(settings.pepper_path)
    database = open_database(settings)
    clock = SystemClock()
    rules = rules_of(settings)
    if not database.write_now(projects.is_pepper, pepper):
        database.close()
        raise SettingsError(
            f"pepper_file: {settings.pepper_path} is not the pepper of this installation; replicas share one"
        )
    install_id = database.write_now(projects.installation_id)
    visitor = Visitor(database.write_now(sessions.observer, pepper).private_pem)
    meters = Meters(measures.ALL)
    drivers: dict[str, Driver] = {
        name: Metered(driver, name, meters)
        for name, make in providers.DRIVERS.items()
        if (driver := make(settings, install_id)) is not None
    }
    readiness = Readiness(drivers, since=clock.now())
    pokes: list[Callable[[str], None]] = []
    tells: list[Callable[[str], None]] = []

    def poke(loop: str) -> None:
        for wake in pokes:
            wake(loop)

    def signal(name: str) -> None:
        # A command's own verbs have no event loop, and the loops find what they left by themselves.
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            poke(name)
            for tell in tells:
                tell(name)

    database.on_signal = signal
    hook_rules = webhook_rules_of(settings)
    sender = deliveries.Sender(hook_rules, clock)
    shelf = Shelf()
    world = World(
        db=database,
        clock=clock,
        drivers=drivers,
        install_id=install_id,
        # Hosts may share a name and processes a number, as in containers: what one holds must not be another's.
        holder=f"{socket.gethostname()}:{os.getpid()}:{secrets.token()}",
        probe=banner.answers,
        courier=Courier(sender.post, huddle.render, pepper, hook_rules),
        rules=rules,
        waiting=waiting_rules_of(settings),
        patience=Patience(
            call_s=settings.loops.call_s,
            step_s=settings.loops.call_s * 5 / 3,
            lease_s=settings.loops.lease_s,
            orphan_grace_s=settings.loops.orphan_grace_s,
        ),
        margins=providers.margins(settings),
        periods={name: _CATALOGUE_PERIODS_S.get(name, int(catalog.PERIOD_S)) for name in drivers},
        mail=mail_of(settings),
        poke=poke,
        meters=meters,
        readiness=readiness,
        shelf=shelf,
        login=visitor.run,
        health=health.is_alive,
        session_rules=session_rules_of(settings),
    )
    runner = Runner(world, LOOPS)
    meters.watch(runner.readings)
    meters.watch(database.readings)
    pokes.append(runner.poke)
    signals = None
    if is_postgresql(settings.database):
        signals = Signals(settings.database, database, runner.poke)
        tells.append(signals.tell)
    context = Context(
        policy=_policy(settings),
        rates=_rates(settings, clock, database),
        db=database,
        clock=clock,
        pepper=pepper,
        rules=rules,
        webhook_rules=hook_rules,
        waiting=waiting_rules_of(settings),
        poke=signal,
        shelf=shelf,
        session_rules=session_rules_of(settings),
        session_wait_s=settings.shopper.create_wait_s,
        meters=meters,
        readiness=readiness,
        providers={name: driver.abilities for name, driver in drivers.items()},
        body_limit=settings.server.body_limit_bytes,
        version=__version__,
    )
    return Process(settings, database, drivers, runner, context, sender, signals)


def _policy(settings: Settings) -> Policy:
    try:
        proxies = parse_networks(settings.server.trusted_proxies)
    except ValueError as error:
        raise SettingsError(f"server.trusted_proxies: {error}") from error
    return Policy(
        trusted_proxies=proxies,
        api_keys_per_project=settings.access.api_keys_per_project,
        idempotency_retention_s=settings.access.idempotency_retention_s,
        scripts_per_project=settings.access.scripts_per_project,
        eur_per_usd_micros=_euros(settings),
        free_units_shown=settings.access.free_units_shown or None,
        shown_provisioning_s=settings.iaas.shown_provisioning_s,
        open_project=_open_project(settings),
    )


def _open_project(settings: Settings) -> str | None:
    """Raises SettingsError where everybody could walk in."""
    is_here = shopper.is_loopback(settings.server.host)
    if settings.shopper.access == "open" and not is_here:
        raise SettingsError(
            f"shopper.access: open would let anybody in who reaches {settings.server.host}; listen on 127.0.0.1 or"
            " set it to key"
        )
    return DEFAULT_PROJECT if is_here and settings.shopper.access != "key" else None


def _euros(settings: Settings) -> int:
    try:
        rate = money.from_usd(settings.currency.eur_per_usd)
    except ValueError as error:
        raise SettingsError(f"currency.eur_per_usd: {error}") from error
    if not 0 < rate <= _MOST_EUR_PER_USD:
        raise SettingsError("currency.eur_per_usd: must be more than 0, and 1000 at most")
    return rate


def _rates(settings: Settings, clock: Clock, database: Database) -> Rates | None:
    if settings.rate_limits == "off":
        return None
    requests = settings.requests
    quotas = Quotas(
        account=requests.per_account,
        route=requests.per_route,
        listing=requests.per_list,
        deploy=requests.per_deploy,
    )
    return Rates(quotas, clock, database)


def mail_of(settings: Settings) -> Mail | None:
    """The mail server, None without one. Raises SettingsError for one that could not or should not be used."""
    chosen = settings.mail
    if not chosen.host:
        return None
    if not notices.is_address(chosen.sender or ""):
        raise SettingsError("mail.from: must be a plain e-mail address when mail.host is set")
    if (chosen.user is None) != (chosen.password is None):
        raise SettingsError("mail.user and mail.password: neither goes without the other")
    if chosen.user is not None and chosen.tls == "none":
        raise SettingsError("mail.tls: a password is not sent over a connection that is not encrypted")
    return Mail(
        host=chosen.host,
        port=chosen.port,
        sender=chosen.sender or "",
        user=chosen.user,
        password=chosen.password,
        tls=chosen.tls,
        ca_file=chosen.ca_file,
    )


def rules_of(settings: Settings) -> Rules:
    """The operator's decisions about money. Raises SettingsError for an amount or a list of periods that is none."""
    try:
        minimum = money.from_usd(settings.billing.minimum_deploy_usd)
    except ValueError as error:
        raise SettingsError(f"billing.minimum_deploy_usd: {error}") from error
    chosen = settings.billing
    return Rules(
        minimum_balance=minimum,
        minimum_on_cancel=chosen.min_on_cancel,
        bills_boot=chosen.clock_start == "ordered",
        min_runway_minutes=chosen.min_runway_minutes,
        grace_s=chosen.grace_s,
        volume_retention_hours=chosen.volume_retention_hours,
        periods=_periods("periods", settings.contracts.periods),
        cluster_periods=_periods("cluster_periods", settings.contracts.cluster_periods),
    )


def _periods(member: str, chosen: Sequence[SoldPeriod]) -> Sequence[Period]:
    codes = [period.code for period in chosen]
    if len(codes) != len(set(codes)):
        raise SettingsError(f"contracts.{member}: two periods have one code")
    return tuple(
        Period(
            period.code,
            period.name,
            Unit(period.unit_name),
            period.unit_value,
            period.discount_percentage,
            period.is_enabled,
        )
        for period in chosen
    )


def webhook_rules_of(settings: Settings) -> webhooks.Rules:
    """The operator's decisions about webhooks. Raises SettingsError for networks that are none."""
    chosen = settings.webhooks
    try:
        networks = webhooks.networks(chosen.allowed_networks)
    except ValueError as error:
        raise SettingsError(f"webhooks.allowed_networks: {error}") from error
    return webhooks.Rules(chosen.allow_private, networks, chosen.retry_permille)


def session_rules_of(settings: Settings) -> sessions.Rules:
    """The operator's decisions about sessions."""
    chosen = settings.sessions
    return sessions.Rules(
        hard_max_hours=chosen.hard_max_hours,
        is_hard_max_off=chosen.hard_max_off,
        vllm_image=chosen.vllm_image,
        tgi_image=chosen.tgi_image,
    )


def waiting_rules_of(settings: Settings) -> WaitingRules:
    """The operator's decisions about waiting."""
    chosen = settings.waitlist
    return WaitingRules(claim_window_s=chosen.claim_window_s, share_percent=chosen.share_percent)


def application(process: Process) -> Asgi:
    """All faces behind one port, joined by their prefixes; starts and stops the process with the server."""
    faces = {prefix: make(process.context) for prefix, make in FACES.items()}
    fallback = faces[huddle.PREFIX]
    welcome = f"{huddle.PREFIX}/docs".encode()

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(process, receive, send)
            return
        path = scope["path"]
        if path == "/":
            await send({"type": "http.response.start", "status": 307, "headers": [(b"location", welcome)]})
            await send({"type": "http.response.body", "body": b""})
            return
        prefix = prefix_of(path)
        if prefix is None:
            await fallback(scope, receive, send)
        else:
            await faces[prefix]({**scope, "root_path": prefix}, receive, send)

    return dispatch


def prefix_of(path: str) -> str | None:
    """The prefix of the face that a path belongs to: of all that hold it, the longest decides. None: nobody's."""
    for beginning, prefix in _PLACES:
        if path.startswith(beginning) and path[len(beginning) : len(beginning) + 1] in {"", "/"}:
            return prefix
    return None


async def _lifespan(process: Process, receive: Receive, send: Send) -> None:
    async with _started(process):
        message = await receive()
        assert message["type"] == "lifespan.startup"
        await process.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


@contextlib.asynccontextmanager
async def _started(process: Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await process.stop()


def credentials_path(settings: Settings) -> Path:
    return settings.data_dir / "credentials.json"
