"""Sessions: what may be taken, on which terms, and how they end."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.clock import HOUR
from berth.base.db import Database
from berth.core import billing, catalog, instances, sessions
from berth.core.driver import Abilities, ProviderTemplate
from berth.core.errors import Conflict, InsufficientCredits, Invalid, NoCapacity, NotFound
from berth.core.instances import AutoDelete
from berth.core.sessions import LaunchMode, Status, StoragePolicy, checking, store
from tests import make
from tests.conftest import FakeClock
from tests.core.rented import by, destroy, done, gone, running, seen
from tests.world import truth

CONTAINERS = Abilities(containers=True, templates=True)
OFFER = f"{make.PROVIDER}-{make.H100}@FIN-01"


def able(db: Database, abilities: Abilities) -> None:
    """The provider can do that, and sells what it usually sells."""
    db.write_now(catalog.introduce, make.PROVIDER, abilities)
    make.catalogue(db)


# Taking an offer.


def test_a_session_has_exactly_the_offer_at_its_price_and_pays_that_whatever_becomes_of_it(
    db: Database,
) -> None:
    make.catalogue(db, make.offer(name="cheap", price="1"), make.offer(name="dear", price="2"))
    session = make.session(db, offer_id="sandbox-dear").session
    assert (session.offer_id, session.price) == ("sandbox-dear", make.micros("2"))
    make.catalogue(db, make.offer(name="cheap", price="1"), make.offer(name="dear", price="9"))
    assert seen(db, session).price == make.micros("2")
    assert truth.free_units(db) == {"cheap": 8, "dear": 7}


def test_its_first_ten_minutes_are_held_and_it_pays_what_it_used_to_the_second(
    db: Database, clock: FakeClock
) -> None:
    session = make.session(db).session
    assert truth.held(db, session.id) == make.micros("0.285")
    session = running(db, session)
    clock.advance(seconds=61)
    done(db, session)
    gone(db, session)
    assert truth.charged(db, session.id) == billing.total(session.price, 61)
    assert truth.held(db, session.id) == 0


def test_one_that_was_made_and_never_ran_costs_nothing(db: Database) -> None:
    session = make.session(db).session
    make.provisioned(db, session.instance)
    destroy(db, seen(db, session))
    gone(db, session)
    assert (truth.charged(db, session.id), truth.held(db, session.id)) == (0, 0)
    assert seen(db, session).status is Status.STOPPED


def test_providers_and_their_offers_may_have_dashes_in_their_names(db: Database) -> None:
    make.catalogue(db, make.offer(name="a-b-c"), provider="my-cloud")
    assert make.session(db, offer_id="my-cloud-a-b-c").session.instance.provider == "my-cloud"


@pytest.mark.parametrize("offer_id", ["sandbox-unknown", "nobody-1", "sandbox", "-", "sandbox-"])
def test_an_offer_that_nobody_named_is_not_found(db: Database, offer_id: str) -> None:
    with pytest.raises(NotFound) as refused:
        make.session(db, offer_id=offer_id)
    assert refused.value.code == "offer_not_found"


def test_an_offer_that_has_gone_is_stale(db: Database) -> None:
    make.catalogue(db, make.offer(name="one", free=0))
    with pytest.raises(NoCapacity) as refused:
        make.session(db, offer_id="sandbox-one")
    assert refused.value.code == "stale_inventory"
    assert refused.value.details == {"offer_id": "sandbox-one", "provider": "sandbox"}
    make.catalogue(db, make.offer(name="two"))
    make.catalogue(db, make.offer(name="three"))
    with pytest.raises(NoCapacity):
        make.session(db, offer_id="sandbox-two")


def test_a_consumer_has_one_active_session_with_an_offer(db: Database) -> None:
    customer = make.project(db)
    first = make.session(db, customer.by).session
    with pytest.raises(Conflict) as refused:
        make.session(db, customer.by)
    assert refused.value.code == "duplicate_session"
    assert refused.value.details["session_id"] == first.id
    assert truth.free_units(db) == {f"{make.H100}@FIN-01": 7}
    make.session(db, customer.by, consumer_id="another")
    destroy(db, first)
    make.session(db, customer.by)


def test_the_database_itself_lets_no_second_one_in(db: Database) -> None:
    customer = make.project(db)
    session = make.session(db, customer.by).session
    assert not db.write_now(store.insert, session)


def test_whoever_has_too_little_gets_nothing(db: Database) -> None:
    poor = make.project(db, credit="5")
    make.catalogue(db)
    with pytest.raises(InsufficientCredits):
        make.session(db, poor.by)
    assert truth.free_units(db) == {f"{make.H100}@FIN-01": 8}


def test_its_keys_are_its_own_and_the_observers(db: Database) -> None:
    session = make.session(db).session
    own, observer = session.instance.ssh_public_keys
    assert own.endswith(" session")
    kept = db.write_now(sessions.observer, make.PEPPER)
    assert observer == kept.public_line
    assert "PRIVATE KEY" in kept.private_pem
    assert db.write_now(sessions.observer, make.PEPPER) == kept
    stored = truth.rows(db, "SELECT public_key, sealed FROM observers")
    assert len(stored) == 1
    assert "PRIVATE" not in stored[0][1]


def test_it_ends_at_its_time(db: Database, clock: FakeClock) -> None:
    session = running(db, make.session(db, reservation_hours=3))
    assert session.expires_at == session.created_at + 3 * HOUR
    clock.advance(seconds=3 * 3600)
    db.write_now(instances.attend, session.id, make.RULES)
    ended = seen(db, session)
    assert (ended.status, ended.error, ended.failure) == (Status.STOPPING, None, None)


# What is wrong is said, all of it at once.


def problems(**members: Any) -> str:
    try:
        checking.check(make.session_spec(**members))
    except Invalid as refused:
        return refused.message
    return ""


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"consumer_id": ""}, "consumer_id is required"),
        ({"consumer_id": "   "}, "consumer_id is required"),
        ({"consumer_id": "a\x00b"}, "consumer_id must hold printable characters only"),
        ({"consumer_id": "x" * 129}, "consumer_id must be at most 128 characters (got 129)"),
        ({"offer_id": ""}, "offer_id is required"),
        ({"workload_type": ""}, "workload_type is required"),
        ({"reservation_hours": None}, "reservation_hours is required"),
        ({"reservation_hours": 0}, "reservation_hours must be at least 1 (got 0)"),
        ({"reservation_hours": 13}, "reservation_hours must be at most 12 (got 13)"),
        ({"idle_threshold_minutes": -1}, "idle_threshold_minutes must be at least 0 (got -1)"),
        ({"disk_gb": -5}, "disk_gb must be at least 0 (got -5)"),
        ({"exposed_ports": (0,)}, "exposed_ports must be at least 1 (got 0)"),
        ({"exposed_ports": (70000,)}, "exposed_ports must be at most 65535 (got 70000)"),
        ({"exposed_ports": (80, 443, 80)}, "exposed_ports must not name a port twice (got 80, 443, 80)"),
        ({"docker_image": "a b; <c>"}, "docker_image must be the name of an image (got a b; c)"),
        ({"docker_image": "-v/:/host"}, "docker_image must be the name of an image (got -v/:/host)"),
        ({"docker_image": "ghcr.io:443/Acme/a_b-c.d:1.0@sha256:0a1b"}, ""),
        ({"max_retries": -1}, "max_retries must be at least 0 (got -1)"),
        ({"ssh_timeout_minutes": -1}, "ssh_timeout_minutes must be at least 0 (got -1)"),
        (
            {"retry_scope": "<none>\n"},
            "retry_scope must be one of same_gpu, same_vram, any (got none)",
        ),
        (
            {"consumer_id": "", "reservation_hours": 0},
            "consumer_id is required; reservation_hours must be at least 1 (got 0)",
        ),
    ],
)
def test_every_member_says_what_it_must_be(members: dict[str, Any], sentence: str) -> None:
    assert problems(**members) == sentence


def test_a_workload_that_is_none_is_told_which_there_are() -> None:
    assert problems(workload_type="mining").startswith("workload_type must be one of llm, llm_vllm")


@given(
    st.text(max_size=200),
    st.integers(-(2**40), 2**40),
    st.integers(-(2**40), 2**40),
    st.lists(st.integers(-10, 70_000), max_size=20),
)
def test_whatever_is_asked_for_is_refused_in_words_that_can_be_printed(
    text: str, hours: int, disk: int, ports: list[int]
) -> None:
    said = problems(
        consumer_id=text,
        workload_type=text,
        retry_scope=text,
        reservation_hours=hours,
        disk_gb=disk,
        exposed_ports=tuple(ports),
    )
    assert said.isprintable()
    assert len(said) < 3000
    assert ("reservation_hours" in said) == (not 1 <= hours <= 12)


def test_too_small_a_disk_is_refused_with_its_breakdown(db: Database) -> None:
    make.catalogue(db)
    with pytest.raises(Invalid) as refused:
        make.session(db, model_id="acme/llama-70b", disk_gb=100)
    assert refused.value.code == "insufficient_disk"
    told = refused.value.details
    assert (told["requested_gb"], told["minimum_gb"], told["recommended_gb"]) == (100, 225, 270)
    assert isinstance(told["breakdown"], dict)
    assert told["breakdown"]["model_weight_gb"] == 140.0


@pytest.mark.parametrize(
    ("members", "disk_gb"),
    [
        ({}, 50),
        ({"disk_gb": 700}, 700),
        ({"model_id": "acme/llama-8b"}, 50),
        ({"model_id": "acme/llama-70b"}, 270),
    ],
)
def test_without_a_size_its_disk_is_as_large_as_recommended(
    db: Database, members: dict[str, Any], disk_gb: int
) -> None:
    session = make.session(db, **members).session
    assert (session.disk_gb, session.instance.os_volume_gb) == (disk_gb, disk_gb)


def test_a_disk_too_small_comes_after_a_double_and_before_what_the_provider_cannot_do(db: Database) -> None:
    customer = make.project(db)
    make.session(db, customer.by)
    small: dict[str, Any] = {"model_id": "acme/llama-70b", "disk_gb": 1, "docker_image": "a/b"}
    with pytest.raises(Conflict):
        make.session(db, customer.by, **small)
    with pytest.raises(Invalid) as refused:
        make.session(db, customer.by, consumer_id="another", **small)
    assert refused.value.code == "insufficient_disk"


# What a provider can do.


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"docker_image": "a/b"}, "docker_image"),
        ({"exposed_ports": (8000,)}, "exposed_ports"),
        ({"launch_mode": LaunchMode.ENTRYPOINT}, "launch_mode"),
        ({"template_hash_id": "abc"}, "template_hash_id"),
    ],
)
def test_what_a_provider_of_whole_systems_cannot_do_is_refused(
    db: Database, members: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        make.session(db, **members)
    assert (refused.value.code, refused.value.details["field"]) == ("not_supported", field)
    assert truth.rows(db, "SELECT 1 FROM instances") == []


def test_a_disk_is_not_promised_where_nothing_can_be_switched_off(db: Database) -> None:
    able(db, Abilities(stop=False))
    with pytest.raises(Invalid) as refused:
        make.session(db, storage_policy=StoragePolicy.PRESERVE)
    assert refused.value.details["field"] == "storage_policy"


def test_a_model_is_served_by_the_image_for_that(db: Database) -> None:
    able(db, CONTAINERS)
    session = make.session(
        db,
        workload_type="llm",
        launch_mode=LaunchMode.ENTRYPOINT,
        model_id="acme/llama-8b",
        quantization="awq",
        exposed_ports=(9000,),
    ).session
    launch = session.instance.launch
    assert launch is not None
    assert (launch.image, launch.ports, launch.is_entrypoint) == (
        "vllm/vllm-openai:latest",
        (8000, 9000),
        True,
    )
    assert launch.arguments == ("--model", "acme/llama-8b", "--quantization", "awq")
    order = db.read_now(instances.create_order, session.instance, install_id="install")
    assert order.launch == launch


def test_a_server_that_names_no_port_is_asked_at_the_usual_one(db: Database) -> None:
    able(db, CONTAINERS)
    asked: dict[str, Any] = {"workload_type": "batch", "launch_mode": LaunchMode.ENTRYPOINT}
    launch = make.session(db, docker_image="a/b", **asked).session.instance.launch
    assert launch is not None
    assert (launch.image, launch.ports) == ("a/b", (8000,))


def test_what_serves_text_generation_is_told_its_model_by_its_environment(db: Database) -> None:
    able(db, CONTAINERS)
    session = make.session(
        db,
        rules=sessions.Rules(tgi_image="some/tgi"),
        workload_type="llm_tgi",
        launch_mode=LaunchMode.ENTRYPOINT,
        model_id="acme/llama-8b",
    ).session
    order = db.read_now(instances.create_order, session.instance, install_id="install")
    assert order.environment == {"MODEL_ID": "acme/llama-8b"}
    with pytest.raises(Invalid) as refused:
        make.session(db, workload_type="llm_tgi", launch_mode=LaunchMode.ENTRYPOINT, model_id="acme/llama-8b")
    assert refused.value.details["field"] == "docker_image"


def test_with_a_template_somebody_can_always_log_in(db: Database) -> None:
    able(db, CONTAINERS)
    template = ProviderTemplate("abc", 1, "Ollama", "vastai/ollama", recommended_disk_gb=90)
    session = make.session(
        db, template=template, template_hash_id="abc", launch_mode=LaunchMode.ENTRYPOINT
    ).session
    assert (session.launch_mode, session.template_name, session.disk_gb) == (LaunchMode.SSH, "Ollama", 90)
    assert session.instance.boot_timeout_s == 12 * 60
    with pytest.raises(NotFound):
        make.session(db, template_hash_id="unknown")


@pytest.mark.parametrize(
    ("members", "timeout_s"),
    [
        ({}, 600),
        ({"ssh_timeout_minutes": 3}, 180),
        ({"ssh_timeout_minutes": 99}, 1800),
        ({"docker_image": "acme/vLLM:1"}, 900),
        ({"docker_image": "acme/triton"}, 720),
    ],
)
def test_how_long_it_may_boot_is_said_or_goes_by_its_image(
    db: Database, members: dict[str, Any], timeout_s: int
) -> None:
    able(db, CONTAINERS)
    session = make.session(db, **members).session
    assert db.read_now(instances.boot_timeout_s, session.instance) == timeout_s


# Its end.


def test_done_twice_is_one_end_and_then_a_conflict(db: Database) -> None:
    session = running(db, make.session(db))
    assert done(db, session).status is Status.STOPPING
    assert done(db, session).status is Status.STOPPING
    gone(db, session)
    assert seen(db, session).status is Status.STOPPED
    with pytest.raises(Conflict):
        done(db, session)
    assert destroy(db, session).status is Status.STOPPED


def test_a_kept_disk_costs_no_hardware_and_ends_when_it_is_deleted(db: Database, clock: FakeClock) -> None:
    session = running(db, make.session(db, storage_policy=StoragePolicy.PRESERVE))
    clock.advance(seconds=100)
    assert done(db, session).status is Status.STOPPING
    clock.advance(seconds=50)
    make.seen(db, session.instance, instances.stopped, releases_hardware=True)
    assert seen(db, session).status is Status.STOPPED
    assert truth.free_units(db) == {f"{make.H100}@FIN-01": 8}
    clock.advance(seconds=5000)
    assert destroy(db, session).status is Status.STOPPING
    gone(db, session)
    assert truth.charged(db, session.id) == billing.total(session.price, 100)
    assert seen(db, session).status is Status.STOPPED


def test_a_kept_disk_is_kept_at_its_time_too(db: Database, clock: FakeClock) -> None:
    session = running(db, make.session(db, reservation_hours=1, storage_policy=StoragePolicy.PRESERVE))
    clock.advance(seconds=3600)
    db.write_now(instances.attend, session.id, make.RULES)
    kept = seen(db, session)
    assert (kept.status, kept.instance.wanted.value, kept.error) == (Status.STOPPING, "offline", None)


def test_extending_adds_hours_up_to_the_maximum(db: Database) -> None:
    session = running(db, make.session(db, reservation_hours=2))
    longer = db.write_now(sessions.extend, by(session), session.id, 3, make.SESSION_RULES)
    assert longer.expires_at == session.created_at + 5 * HOUR
    assert seen(db, session).reservation_hours == 5
    kept = db.read_now(instances.reservation, session.id)
    assert kept is not None
    assert kept.wanted == AutoDelete(at=longer.expires_at)
    with pytest.raises(Invalid) as refused:
        db.write_now(sessions.extend, by(session), session.id, 8, make.SESSION_RULES)
    assert "at most 7 (got 8)" in refused.value.message
    free = sessions.Rules(is_hard_max_off=True)
    assert db.write_now(sessions.extend, by(session), session.id, 12, free).reservation_hours == 17


@pytest.mark.parametrize("hours", [0, -1, 13, None])
def test_an_extension_is_of_one_to_twelve_hours(db: Database, hours: int | None) -> None:
    session = make.session(db).session
    with pytest.raises(Invalid) as refused:
        db.write_now(sessions.extend, by(session), session.id, hours, make.SESSION_RULES)
    assert refused.value.message.startswith("additional_hours ")


def test_what_is_ending_is_not_extended(db: Database) -> None:
    session = running(db, make.session(db))
    done(db, session)
    with pytest.raises(Conflict):
        db.write_now(sessions.extend, by(session), session.id, 1, make.SESSION_RULES)


def test_other_faces_neither_stop_it_nor_change_its_end(db: Database) -> None:
    session = running(db, make.session(db))
    asked: list[Callable[[], object]] = [
        lambda: db.write_now(instances.stop, by(session), session.id),
        lambda: db.write_now(instances.start, by(session), session.id),
        lambda: db.write_now(instances.reserve, by(session), session.id, AutoDelete()),
    ]
    for ask in asked:
        with pytest.raises(Conflict):
            ask()
    able = db.read_now(instances.abilities, session.instance)
    assert [action.value for action in instances.allowed(session.instance, able)] == ["restart", "delete"]
    db.write_now(instances.delete, by(session), session.id, make.RULES)
    assert seen(db, session).status is Status.STOPPING


def test_nobody_sees_another_projects_sessions(db: Database) -> None:
    session = make.session(db).session
    stranger = make.project(db).by
    asked: list[Callable[[], object]] = [
        lambda: db.read_now(sessions.get, stranger, session.id),
        lambda: db.write_now(sessions.done, stranger, session.id, make.RULES),
        lambda: db.write_now(sessions.destroy, stranger, session.id, make.RULES),
    ]
    for ask in asked:
        with pytest.raises(NotFound):
            ask()
    assert db.read_now(sessions.list_page, stranger) == []
    plain = make.instance(db)
    with pytest.raises(NotFound):
        db.read_now(sessions.get, make.owner(plain), plain.id)


def test_they_are_listed_newest_first_and_by_what_they_are(db: Database, clock: FakeClock) -> None:
    customer = make.project(db)
    made = []
    for number in range(3):
        made.append(make.session(db, customer.by, consumer_id=f"consumer-{number}").session.id)
        clock.advance(seconds=1)

    def listed(**members: Any) -> list[str]:
        return [each.id for each in db.read_now(sessions.list_page, customer.by, **members)]

    assert listed() == made[::-1]
    assert listed(consumer_id="consumer-1") == [made[1]]
    assert listed(limit=2) == made[:0:-1]
    assert listed(status=Status.PENDING) == made[::-1]
    running(db, seen(db, make.session(db, customer.by, consumer_id="runs").session))
    for status in Status:
        found = db.read_now(sessions.list_page, customer.by, status=status)
        assert {each.status for each in found} <= {status}
    assert len(listed(status=Status.RUNNING)) == 1
    assert listed(provider="nobody") == []
    assert db.read_now(sessions.counts) == [
        (make.PROVIDER, Status.PENDING, 3),
        (make.PROVIDER, Status.RUNNING, 1),
    ]
