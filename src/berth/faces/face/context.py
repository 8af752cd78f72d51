"""What a face is given: the parts of the process that serving a request needs, and no more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from berth.base import sshkeys
from berth.base.clock import Clock
from berth.base.db import Database
from berth.base.meters import Meters
from berth.base.readiness import Readiness
from berth.base.sshkeys import KeyPair
from berth.core import idempotency, projects, scripts, sessions, webhooks
from berth.core.billing import Rules
from berth.core.catalog.inventory import Shelf
from berth.core.driver import Abilities
from berth.core.projects.networks import Network
from berth.core.waitlist import Rules as WaitingRules
from berth.faces.face.known_keys import KnownKeys
from berth.faces.face.rates import Rates

BODY_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's decisions about who may ask for what."""

    trusted_proxies: tuple[Network, ...] = ()
    """Whose word about where a request comes from is taken."""
    api_keys_per_project: int = projects.KEYS_PER_PROJECT
    idempotency_retention_s: int = idempotency.RETENTION_S
    scripts_per_project: int = scripts.SCRIPTS_PER_PROJECT
    eur_per_usd_micros: int = 920_000
    """Millionths of a euro that a dollar is shown as; everything is charged in dollars."""
    open_project: str | None = None
    """Whom the shopper API acts for when somebody at this host asks without a key; None: nobody gets in so."""
    free_units_shown: int | None = None
    """The most free units that an offer tells of; None: all."""
    shown_provisioning_s: int = 2
    """How long the IaaS API shows a new instance as provisioning at least, however soon it runs."""


@dataclass(frozen=True, slots=True)
class Context:
    """Made once and shared by all faces of a process, so that a key revoked through one is gone for all."""

    db: Database
    clock: Clock
    pepper: bytes
    rules: Rules
    poke: Callable[[str], None]
    """Wakes the named loop; called after the commit."""
    version: str
    waiting: WaitingRules = field(default_factory=WaitingRules)
    body_limit: int = BODY_LIMIT
    """Bytes of a request's body that are read."""
    policy: Policy = Policy()
    rates: Rates | None = None
    """None: nobody is held back."""
    webhook_rules: webhooks.Rules = field(default_factory=webhooks.Rules)
    test_wait_s: float = 20.0
    """How long a request waits for a test delivery."""
    session_rules: sessions.Rules = field(default_factory=sessions.Rules)
    session_wait_s: float = 60.0
    """How long the request of a session waits for what its provider makes of it."""
    session_keys: Callable[[], KeyPair] = sshkeys.make_rsa
    """Makes the key pair of a session; called in a thread, because that takes its time."""
    providers: Mapping[str, Abilities] = field(default_factory=dict)
    """Those that are set up, and what each can do."""
    meters: Meters = field(default_factory=Meters)
    """Where requests are counted, and what tells everything that was."""
    readiness: Readiness = field(default_factory=Readiness)
    known_keys: KnownKeys = field(default_factory=KnownKeys)
    shelf: Shelf = field(default_factory=Shelf)
    """The inventory of now."""
    in_flight: set[tuple[str, str, str]] = field(default_factory=set)
    """(project, lineage, Idempotency-Key) of requests being processed here."""
