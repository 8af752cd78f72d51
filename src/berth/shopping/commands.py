"""The commands themselves: what can be said on the command line, and what is printed."""

import getpass
import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.text import Text

from berth.base.clock import SystemClock
from berth.settings import read
from berth.shopping import login, renting, tables
from berth.shopping.calls import Api, Failed, Interrupted, Json, plain
from berth.shopping.keys import Keys
from berth.shopping.renting import Renting
from berth.shopping.watching import watch

_ENDED = {"stopped", "failed"}
_ALIVE = ("pending", "provisioning", "running", "stopping")
"""In the order in which a session has them."""
_LISTED_MOST = 1000
"""So many a server tells of at once."""
_END_POLL_S = 2.0

Server = Annotated[str, Parameter(env_var="BERTH_URL", help="Address of the Berth that is asked.")]
ApiKey = Annotated[
    str | None, Parameter(env_var="BERTH_API_KEY", help="Needed where the server is not on this host.")
]
AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON, for scripts.")]
DataDir = Annotated[Path | None, Parameter(help="Where keys are kept, in its folder `keys`.")]
Gpu = Annotated[str | None, Parameter(name=["--gpu", "-g"], help='Its exact name, such as "RTX 4090".')]
Provider = Annotated[str | None, Parameter(name=["--provider", "-p"], help="Such as vastai or tensordock.")]
MaxPrice = Annotated[
    float | None, Parameter(help="Dollars an hour, for all of the offer.", validator=Number(gte=0))
]
MinVram = Annotated[int | None, Parameter(help="GB of one GPU.", validator=Number(gte=0))]
MinGpus = Annotated[
    int | None, Parameter(name=["--min-gpus"], help="GPUs at least.", validator=Number(gte=1))
]
Location = Annotated[str | None, Parameter(help="Part of its name.")]
MinCuda = Annotated[float | None, Parameter(help="Such as 12.4.", validator=Number(gte=0))]
Share = Annotated[float | None, Parameter(help="From 0 to 1.", validator=Number(gte=0, lte=1))]
Session = Annotated[str, Parameter(help="Its id, such as sess-abc123.")]

_HERE = "http://127.0.0.1:8080"


def register(cli: App) -> None:
    """Adds the shopper's commands to `cli`."""
    for command in (offers, rent, ssh, sessions, done, extend, costs):
        cli.command(command)


def offers(
    *,
    gpu: Gpu = None,
    provider: Provider = None,
    max_price: MaxPrice = None,
    min_vram: MinVram = None,
    min_gpus: MinGpus = None,
    location: Location = None,
    min_cuda: MinCuda = None,
    min_reliability: Share = None,
    min_confidence: Share = None,
    template: Annotated[str | None, Parameter(help="Hash id of a template that must run on it.")] = None,
    limit: Annotated[int, Parameter(help="So many at most.", validator=Number(gte=1, lte=1000))] = 20,
    offset: Annotated[int, Parameter(help="Skip so many.", validator=Number(gte=0))] = 0,
    as_json: AsJson = False,
    server: Server = _HERE,
    api_key: ApiKey = None,
) -> None:
    """Compare what can be rented now, at every provider: the surest first, then the cheapest."""
    found = Api(server, api_key).get(
        "inventory",
        gpu_type=gpu,
        provider=provider,
        max_price=max_price,
        min_vram=min_vram,
        min_gpu_count=min_gpus,
        location=location,
        min_cuda=min_cuda,
        min_reliability=min_reliability,
        min_availability_confidence=min_confidence,
        template_hash_id=template,
        limit=limit,
        offset=offset or None,
    )
    if as_json:
        tables.print_json(found)
    else:
        tables.print_offers(found)


def rent(
    offer: Annotated[
        str | None, Parameter(help="Its id; without it, the first that fits the options.")
    ] = None,
    *,
    gpu: Gpu = None,
    max_price: MaxPrice = None,
    provider: Provider = None,
    min_vram: MinVram = None,
    min_gpus: MinGpus = None,
    location: Location = None,
    min_cuda: MinCuda = None,
    hours: Annotated[int, Parameter(help="It ends after so many.", validator=Number(gte=1, lte=12))] = 1,
    idle_minutes: Annotated[
        int,
        Parameter(help="It ends when nothing happened for so long; 0: it does not.", validator=Number(gte=0)),
    ] = 0,
    disk_gb: Annotated[
        int | None, Parameter(help="Cannot be changed later.", validator=Number(gte=1))
    ] = None,
    preserve: Annotated[
        bool, Parameter(help="Keep the disk when it ends, where the provider can.", negative=())
    ] = False,
    workload: Annotated[str, Parameter(help="Such as interactive, llm, training or batch.")] = "interactive",
    template: Annotated[str | None, Parameter(help="Hash id of a template to start from.")] = None,
    image: Annotated[str | None, Parameter(help="A Docker image, where instances are containers.")] = None,
    model: Annotated[str | None, Parameter(help="Id of a model to serve, for llm.")] = None,
    entrypoint: Annotated[
        bool, Parameter(help="Run the image's own command, without SSH.", negative=())
    ] = False,
    port: Annotated[
        list[int] | None, Parameter(help="A port to reach from outside; may be given again.")
    ] = None,
    consumer: Annotated[str | None, Parameter(help="Who it is for; without it, your login name.")] = None,
    wait: Annotated[
        float, Parameter(help="Minutes until it must be up.", validator=Number(gt=0, lte=120))
    ] = 20,
    poll: Annotated[float, Parameter(help="Seconds between looks.", validator=Number(gte=0.02, lte=60))] = 2,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    server: Server = _HERE,
    api_key: ApiKey = None,
) -> None:
    """Take an offer, keep its key, wait until it runs, print how to log in. Ctrl-C leaves it as it is and says how to end it."""
    api, keys = Api(server, api_key), _keys(data_dir)
    filters: dict[str, str | float | None] = {
        "gpu_type": gpu,
        "max_price": max_price,
        "provider": provider,
        "min_vram": min_vram,
        "min_gpu_count": min_gpus,
        "location": location,
        "min_cuda": min_cuda,
    }
    found = _chosen(api, offer, filters, template, max_price)
    wanted = {
        "consumer_id": consumer or _login_name(),
        "workload_type": workload,
        "reservation_hours": hours,
        "idle_threshold_minutes": idle_minutes,
        "storage_policy": "preserve" if preserve else "destroy",
        "launch_mode": "entrypoint" if entrypoint else "ssh",
        "disk_gb": disk_gb,
        "template_hash_id": template,
        "docker_image": image,
        "model_id": model,
        "exposed_ports": port,
    }
    attempt = Renting(api, keys, Console(stderr=True), wait_s=60 * wait, poll_s=poll)
    session = attempt.run(found, {name: value for name, value in wanted.items() if value is not None})
    how = session.get("api_endpoint") if entrypoint else tables.ssh_line(login.arguments(session, keys))
    if as_json:
        kept = None if attempt.key_path is None else str(attempt.key_path)
        shown = {"session": session, "key_file": kept, "ssh_command": None if entrypoint else how}
        tables.print_json(shown)
        return
    _say(
        f"{session['id']} runs, at {tables.per_hour(session)}, until {session.get('expires_at')}.", error=True
    )
    _say(
        f"End it with `berth done {session['id']}`. Log in with `berth ssh {session['id']}`, or:", error=True
    )
    _say(str(how or ""))


def ssh(
    session: Session,
    *command: Annotated[
        str, Parameter(allow_leading_hyphen=True, help="What to run there instead of a shell.")
    ],
    data_dir: DataDir = None,
    server: Server = _HERE,
    api_key: ApiKey = None,
) -> None:
    """Log in to a session with the key that `berth rent` kept."""
    keys = _keys(data_dir)
    keys.path(session)  # before anybody is asked about what is no id
    found = Api(server, api_key).get("sessions", session)
    arguments = login.arguments(found, keys, command)
    os.execv(login.program(), arguments)  # noqa: S606 - a list of arguments, checked, and no shell


def sessions(
    *,
    everything: Annotated[bool, Parameter(name="--all", help="Those that ended too.", negative=())] = False,
    status: Annotated[
        Literal["pending", "provisioning", "running", "stopping", "stopped", "failed"] | None,
        Parameter(help="These only."),
    ] = None,
    provider: Provider = None,
    consumer: Annotated[str | None, Parameter(help="Whose.")] = None,
    limit: Annotated[int | None, Parameter(help="So many at most.", validator=Number(gte=1))] = None,
    as_json: AsJson = False,
    server: Server = _HERE,
    api_key: ApiKey = None,
) -> None:
    """List sessions, newest first: those that have not ended, unless asked for more."""
    api, whose = Api(server, api_key), {"provider": provider, "consumer_id": consumer}
    if everything or status is not None:
        rows = tables.objects(api.get("sessions", status=status, limit=limit, **whose), "sessions")
    else:
        rows = _going_on(api, whose, limit)
    if as_json:
        tables.print_json({"sessions": rows, "count": len(rows)})
    elif rows:
        tables.print_sessions(rows, SystemClock().now())
    else:
        _say("There are no sessions.")


def done(
    session: Session,
    *,
    destroy: Annotated[
        bool, Parameter(help="Destroy it and its disk, also where that was to be kept.", negative=())
    ] = False,
    wait: Annotated[
        float, Parameter(help="Minutes to watch it end; 0: do not.", validator=Number(gte=0, lte=60))
    ] = 5,
    as_json: AsJson = False,
    server: Server = _HERE,
    api_key: ApiKey = None,
) -> None:
    """End a session, see that it has ended, and say what it cost."""
    api = Api(server, api_key)
    told = api.delete("sessions", session) if destroy else api.post("sessions", session, "done")
    if not wait:
        tables.print_json(told) if as_json else _say(str(told.get("message", "")))
        return
    ended = _watch_end(api, session, 60 * wait)
    cost = api.get("costs", session_id=session)
    if as_json:
        tables.print_json({"session": ended, "cost": cost})
    else:
        _say(f"{session} is {ended.get('status')}. It cost {tables.dollars(cost.get('total_cost'))}.")


def extend(
    session: Session,
    hours: Annotated[int, Parameter(help="So many more.", validator=Number(gte=1, lte=12))] = 1,
    *,
    as_json: AsJson = False,
    server: Server = _HERE,
    api_key: ApiKey = None,
) -> None:
    """Let a session end some hours later."""
    told = Api(server, api_key).post("sessions", session, "extend", body={"additional_hours": hours})
    if as_json:
        tables.print_json(told)
    else:
        _say(f"{session} ends at {told.get('new_expires_at')}.")


def costs(
    session: Annotated[str | None, Parameter(help="Its id; without it, all of a time.")] = None,
    *,
    period: Annotated[
        Literal["daily", "monthly"] | None, Parameter(help="The day, or the month, that it is.")
    ] = None,
    start: Annotated[str | None, Parameter(help="The first day that counts, such as 2026-04-01.")] = None,
    end: Annotated[str | None, Parameter(help="The first day that no longer counts.")] = None,
    consumer: Annotated[str | None, Parameter(help="Whose.")] = None,
    as_json: AsJson = False,
    server: Server = _HERE,
    api_key: ApiKey = None,
) -> None:
    """Show what sessions cost, this month's unless asked otherwise."""
    found = Api(server, api_key).get(
        "costs", session_id=session, period=period, start_date=start, end_date=end, consumer_id=consumer
    )
    if as_json:
        tables.print_json(found)
    else:
        tables.print_costs(found)


def _going_on(api: Api, whose: dict[str, str | None], limit: int | None) -> list[Json]:
    """Those that have not ended, newest first."""
    rows = tables.objects(api.get("sessions", limit=limit, **whose), "sessions")
    if len(rows) >= min(limit or _LISTED_MOST, _LISTED_MOST):
        # Newer ones that ended may have left no room for an old one that still costs. Whatever goes on to its next
        # status meanwhile is there twice, and never missing.
        each = [api.get("sessions", status=status, limit=limit, **whose) for status in _ALIVE]
        found = {str(row.get("id")): row for part in each for row in tables.objects(part, "sessions")}
        rows = sorted(found.values(), key=lambda row: str(row.get("created_at")), reverse=True)
    return [row for row in rows if row.get("status") not in _ENDED][:limit]


def _chosen(
    api: Api,
    offer: str | None,
    filters: dict[str, str | float | None],
    template: str | None,
    max_price: float | None,
) -> list[Json]:
    asked = [value for value in filters.values() if value is not None]
    if offer is not None and asked:
        raise Failed("an offer's id says it all: leave the other conditions out, or the id")
    if offer is not None:
        return [{"id": offer}]
    if not asked:
        raise Failed("name an offer, or say what it has to be like, such as --gpu and --max-price")
    query = {**filters, "template_hash_id": template, "limit": renting.OFFERS_TRIED}
    return renting.candidates(api, query, max_price)


def _watch_end(api: Api, session: str, wait_s: float) -> Json:
    found = api.get("sessions", session)
    try:
        with Console(stderr=True).status(Text(f"{session} is ending")) as status:
            found = watch(
                api,
                found,
                _ALIVE,
                wait_s=wait_s,
                poll_s=_END_POLL_S,
                show=lambda seen: status.update(Text(f"{session} is {plain(seen.get('status'))}")),
            )
    except KeyboardInterrupt:
        raise Interrupted(f"the server goes on ending {session}; `berth sessions` shows it") from None
    if found.get("status") not in _ENDED:
        raise Failed(f"{session} is still {found.get('status')}; the server goes on ending it")
    return found


def _keys(data_dir: Path | None) -> Keys:
    return Keys(read({"data_dir": data_dir}).data_dir / "keys")


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account that has no name
        return "berth"


def _say(sentence: str, *, error: bool = False) -> None:
    Console(stderr=error).print(Text(plain(sentence)), soft_wrap=True)
