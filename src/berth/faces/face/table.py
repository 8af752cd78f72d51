"""The shape of a routes table: everything about a route is said once, here, and read off by everybody else."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from msgspec import Struct

from berth.base.db import Tx
from berth.core.errors import Refusal
from berth.core.events import Actor
from berth.faces.face.context import Context
from berth.faces.face.naming import request_id
from berth.faces.face.rates import Limits, Rate

Headers = Mapping[bytes, bytes]
"""Names in lower case; a header sent twice is joined with a comma."""


class Listing(StrEnum):
    """How the answer holds what it holds."""

    ONE = "one"
    PLAIN = "plain"
    """All there is, in an array."""
    PAGED = "paged"
    """A page of an array, with where it stands."""


@dataclass(slots=True)
class Call:
    """One request, translated: what a handler gets beside the transaction."""

    context: Context
    by: Actor
    parameters: Mapping[str, str]
    """From the path, by name."""
    query: Any
    """An instance of the route's `query`."""
    body: Any
    """An instance of the route's `body`."""
    headers: Headers = field(default_factory=dict)
    key: str | None = None
    """The Idempotency-Key of a request that has one."""
    fingerprint: str = ""
    """What makes a request with a key the same as another."""
    prepared: Any = None
    """What the route's `prepare` made."""


Prepare = Callable[[Call], Awaitable[object]]
"""Makes what the handler needs and must not wait for, before any transaction: work of seconds, off the event loop.

It may be in vain, since the handler can refuse all the same; a request that is replayed or not valid has none."""


Handler = Callable[[Tx, Call], object]
"""Translate, one verb, translate. Runs inside the transaction: it must not wait, and may run twice."""


Follow = Callable[[Call, Any], Awaitable[object]]
"""Makes the answer of what the handler returned, once that is durable and no transaction is open: it may wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of a routes table. GET and what `asks` read; the rest writes and honours an Idempotency-Key."""

    method: str
    path: str
    """Below the mount, with `{name}` for a segment."""
    handler: Handler
    summary: str
    scope: str
    """The least that a key must be allowed."""
    answer: Any
    """The wire type of the answer, or of its rows; several are alternatives, and None is an empty body."""
    listing: Listing = Listing.ONE
    query: type[Struct] | None = None
    body: type[Struct] | None = None
    rate: Rate = Rate.READ
    pokes: str | None = None
    """The loop to wake once the work is durable."""
    prepare: Prepare | None = None
    follow: Follow | None = None
    """A refusal that it raises is the answer, and nothing is kept of it: a retry does the work."""
    redact: Callable[[Any], object] | None = None
    """Makes of a result, and of what `follow` made of it, the copy that a replay may show: without its secret."""
    lives: Callable[[Any], str | None] | None = None
    """The core id of the instance that a result shows, unless it is gone: the answer is kept as long as it is not."""
    asks: bool = False
    """A question that needs a body: sent with POST, and yet it changes nothing."""
    is_long: bool = False
    """A read that may take as long as many others together: the event loop does not wait for it."""
    other_media_types: Sequence[str] = ()
    """What the handler answers with a `Text` to whoever accepts it."""
    status: int = 200
    """Of a success, where the handler does not say otherwise."""
    other_statuses: Sequence[tuple[int, str]] = ()
    """The successes that the handler may answer instead, each with what it means; 204 is one without a body."""
    media_type: bytes = b"application/json"
    """Of a success."""
    answer_headers: Sequence[tuple[str, str]] = ()
    """Headers that a success has, each with what it says."""
    is_public: bool = False
    """Asked by anybody, without credentials; `scope` says what its verb looks for."""
    takes_form: bool = False
    """Its body may come as a form too."""
    is_deprecated: bool = False

    @property
    def is_read(self) -> bool:
        return self.asks or self.method == "GET"

    @property
    def is_idempotent(self) -> bool:
        """Whether an Idempotency-Key is honoured."""
        return not self.is_read


@dataclass(frozen=True, slots=True)
class Page:
    """Something anybody may read without a key; `reason` says why."""

    path: str
    media_type: str
    body: Callable[[], bytes]
    reason: str


@dataclass(frozen=True, slots=True)
class Text:
    """What a handler that reads returns to answer in another form than the face's own, such as CSV."""

    body: bytes
    media_type: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """What a handler returns to say more of its answer than the routes table does."""

    result: object
    status: int | None = None
    """None: the route's own."""
    headers: Sequence[tuple[bytes, bytes]] = ()


@dataclass(slots=True)
class Reply:
    """What goes back."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()
    media_type: bytes = b"application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One wire format."""

    name: str
    routes: Sequence[Route]
    authenticate: Callable[[Context, Headers, str | None], Awaitable[Actor]]
    """Who asks, by what the headers hold and the address that the request comes from."""
    render: Callable[[object], bytes]
    """A handler's result as the body of a success."""
    refuse: Callable[[Refusal, str], Reply]
    """A refusal, and the request's id, as an answer."""
    pages: Sequence[Page] = field(default=())
    minted_prefix: str = "\0"
    """How Idempotency-Keys begin that a client made up afresh for each attempt, so that they protect nobody."""
    takes_keys: bool = True
    """Whether an Idempotency-Key means anything to this API."""
    hides_templates: bool = False
    """Whether a fixed path means nothing else: its last part is no parameter of another route, whatever the method."""
    request_id: Callable[[bytes | None], str] = request_id
    """The id of a request, by what its `X-Request-ID` says."""
    tells_values: bool = False
    """Whether a refusal of a parameter or member comes with what was sent for it, as its detail `sent`."""
    takes_any_type: bool = False
    """Whether a body is read as JSON whatever it is declared to be, as what `curl -d` sends."""
    limits: Limits = field(default_factory=Limits)
    """How requests are counted, and how the headers about that are worded."""
