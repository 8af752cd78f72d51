"""Who gets what: cards that nobody shares, places that leave room for large ones, and rivals that yield."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from berth.core.driver import NoCapacity
from berth.drivers.incus import TypeSold, rooms
from berth.drivers.incus.rooms import Card, Room, Use

H100 = "NVIDIA H100 80GB HBM3"
ONE = TypeSold("1H100", 8, 64, 1, gpu_model="H100", gpu_count=1, gpu_vram_gb=80)
FOUR = TypeSold("4H100", 32, 256, 1, gpu_model="H100", gpu_count=4, gpu_vram_gb=80)
PLAIN = TypeSold("CPU", 4, 16, 1)
PORTS = range(20_000, 20_003)


def a_room(member: str, cards: int = 4, *, is_open: bool = True, vcpus: int = 64) -> Room:
    there = [Card(f"0000:{number:02x}:00.0", H100) for number in range(cards)]
    return Room(member, "LAB-01", is_open, vcpus, 512 * 1024, there)


def a_use(name: str, member: str, *cards: int, **more: object) -> Use:
    pcis = frozenset(f"0000:{number:02x}:00.0" for number in cards)
    return replace(Use(name, member, 8, 64 * 1024, pcis), **more)  # type: ignore[arg-type]


def placed(sold: TypeSold, there: list[Room], uses: list[Use], **more: object) -> rooms.Grant:
    return rooms.place(sold, there, uses, location="LAB-01", ports=PORTS, **more)  # type: ignore[arg-type]


def test_small_ones_fill_a_host_so_that_a_large_one_still_fits_elsewhere() -> None:
    there, uses = [a_room("one"), a_room("two")], [a_use("a", "two", 0)]
    assert placed(ONE, there, uses).member == "two"
    assert placed(FOUR, there, uses).member == "one"
    assert placed(PLAIN, [a_room("one"), a_room("plain", 0)], []).member == "plain"


def test_a_card_that_somebody_has_is_given_to_nobody_else() -> None:
    uses = [a_use("a", "one", 0, 2), a_use("off", "one", 1, holds=False)]
    assert placed(ONE, [a_room("one")], uses).cards == ["0000:01:00.0"]
    full = [*uses, a_use("b", "one", 1, 3)]
    with pytest.raises(NoCapacity):
        placed(ONE, [a_room("one")], full)


def test_who_was_given_gpus_without_saying_which_has_all_of_that_host() -> None:
    greedy = a_use("a", "one", has_all_cards=True)
    with pytest.raises(NoCapacity):
        placed(ONE, [a_room("one")], [greedy])
    assert placed(PLAIN, [a_room("one")], [greedy]).member == "one"


@pytest.mark.parametrize(
    ("room", "uses"),
    [
        (a_room("one", is_open=False), []),
        (a_room("one", vcpus=7), []),
        (a_room("one", vcpus=10), [a_use("a", "one")]),
        (a_room("one", cards=0), []),
        (replace(a_room("one"), location="ELSEWHERE-01"), []),
        (replace(a_room("one"), ram_mb=63 * 1024), []),
    ],
)
def test_where_something_is_lacking_there_is_no_capacity(room: Room, uses: list[Use]) -> None:
    with pytest.raises(NoCapacity):
        placed(ONE, [room], uses)
    assert rooms.units(ONE, [room], uses, "LAB-01") == 0


def test_units_are_counted_by_what_runs_out_first() -> None:
    there = [a_room("one"), a_room("two", vcpus=17), a_room("away", is_open=False)]
    assert rooms.units(ONE, there, [], "LAB-01") == 4 + 2
    assert rooms.units(ONE, there, [a_use("a", "one", 1)], "LAB-01") == 3 + 2
    assert rooms.units(FOUR, there, [a_use("a", "one", 1)], "LAB-01") == 0


def test_an_instance_goes_only_where_its_volumes_are() -> None:
    assert (
        placed(ONE, [a_room("one"), a_room("two")], [a_use("a", "one", 0)], only_on={"two"}).member == "two"
    )


def test_ports_are_unique_over_all_members_and_run_out() -> None:
    uses = [a_use("a", "two", ports=frozenset({20_000}))]
    assert placed(PLAIN, [a_room("one")], uses).port == 20_001
    with pytest.raises(NoCapacity):
        rooms.free_port([a_use("a", "two", ports=frozenset(PORTS))], PORTS)


def test_of_two_that_grabbed_one_card_or_port_the_later_yields() -> None:
    early, late = a_use("z", "one", 0, born_at="2026-01-01T10"), a_use("a", "one", 0, born_at="2026-01-01T11")

    def rivals(mine: Use, uses: list[Use]) -> Sequence[Use]:
        return rooms.rivals(mine, uses, is_new=True)

    assert rivals(late, [early, late]) == [early]
    assert rivals(early, [early, late]) == []
    assert rivals(replace(late, member="two"), [early]) == []
    assert rivals(replace(late, cards=frozenset()), [early]) == []
    same_port = replace(late, member="two", cards=frozenset(), ports=frozenset({1}))
    assert rivals(same_port, [replace(early, ports=frozenset({1}))])
    assert rivals(late, [replace(early, holds=False)]) == []


def test_who_takes_a_card_again_yields_to_all_and_keeps_its_port() -> None:
    early, late = a_use("z", "one", 0, born_at="2026-01-01T10"), a_use("a", "one", 0, born_at="2026-01-01T11")
    assert rooms.rivals(early, [early, late], is_new=False) == [late]
    assert rooms.rivals(late, [early, late], is_new=False) == [early]
    port = frozenset({1})
    apart = [replace(early, ports=port), a_use("a", "one", 1, ports=port)]
    assert rooms.rivals(apart[0], apart, is_new=False) == []


@pytest.mark.parametrize(
    ("product", "sold", "is_one"),
    [
        ("NVIDIA H100 80GB HBM3 GH100 [H100 SXM5 80GB]", ONE, True),
        ("NVIDIA H100 80GB HBM3", replace(ONE, gpu_matches="H100 SXM5"), False),
        ("NVIDIA H1000", ONE, False),
        ("NVIDIA A100-SXM4-80GB", replace(ONE, gpu_model="A100", gpu_matches="a100 sxm4 80gb"), True),
        ("NVIDIA A100-SXM4-40GB", replace(ONE, gpu_model="A100", gpu_matches="a100 sxm4 80gb"), False),
        ("NVIDIA GeForce RTX 4090", replace(ONE, gpu_model="RTX 4090"), True),
        ("ASPEED Graphics Family", ONE, False),
        ("ASPEED Graphics Family", replace(ONE, gpu_model=None), False),
    ],
)
def test_a_card_is_what_its_words_say(product: str, sold: TypeSold, is_one: bool) -> None:
    assert Card("0000:01:00.0", product).is_a(sold) is is_one
