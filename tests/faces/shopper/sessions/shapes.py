"""Whether an answer is what an example says: the same members, in the same order, of the same JSON types."""

from typing import Any


def like(got: Any, example: Any, at: str = "$") -> None:
    """Fails where a member of the example is missing, of another type, or in another place among them."""
    if isinstance(example, dict):
        assert isinstance(got, dict), f"{at}: {got!r}"
        assert [name for name in got if name in example] == list(example), f"{at}: {list(got)}"
        for name, value in example.items():
            like(got[name], value, f"{at}.{name}")
    elif isinstance(example, list):
        assert isinstance(got, list), f"{at}: {got!r}"
        assert bool(got) == bool(example), f"{at}: {got!r}"
        for each in got:
            like(each, example[0], f"{at}[]")
    elif isinstance(example, bool) or isinstance(got, bool):
        assert type(got) is type(example), f"{at}: {got!r}"
    elif isinstance(example, int | float):
        # JSON has one kind of number: 30.00 may be written 30.
        assert isinstance(got, int if isinstance(example, int) else int | float), f"{at}: {got!r}"
    else:
        assert type(got) is type(example), f"{at}: {got!r}"
