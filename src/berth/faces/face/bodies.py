"""From bytes and query strings to the route's structs. Whatever does not fit is refused by naming the member."""

import json
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from berth.base.asgi import Receive
from berth.core.errors import Invalid
from berth.faces.face.refusals import BodyTooLarge, UnsupportedMediaType
from berth.faces.face.table import Headers

S = TypeVar("S", bound=msgspec.Struct)
_NOTHING = object()
_QUERY_LIMIT = 100
"""Parameters of one query string."""
_JSON = re.compile(rb"\s*(application/json|application/[\w.-]+\+json|text/json)\s*(;.*)?", re.IGNORECASE)
_FORM = re.compile(rb"\s*application/x-www-form-urlencoded\s*(;.*)?", re.IGNORECASE)
_PROBLEM = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_WRONG_TYPE = re.compile(r"Expected `([^`]*)`, got `([^`]*)`")
_LENGTH = re.compile(r"Expected `(\w+)` of length (<=|>=) (\d+)")
_BOUND = re.compile(r"Expected `\w+` (<=|>=|<|>) (\S+)")
_TYPES = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


async def read(receive: Receive, headers: Headers, limit: int) -> bytes:
    """The body, however it was cut up. Raises BodyTooLarge as soon as it is known to be."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and (len(declared) > len(str(limit)) or int(declared) > limit):
        raise BodyTooLarge(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Invalid("body_cut_off", "The body ended before it was complete.")
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > limit:
            raise BodyTooLarge(limit)
        if not message.get("more_body", False):
            return part if len(parts) == 1 else b"".join(parts)


def parse(
    body: bytes, headers: Headers, *, takes_form: bool = False, takes_any_type: bool = False
) -> dict[str, Any]:
    """The JSON object in `body`; an empty body is an empty object. Raises Invalid, UnsupportedMediaType.

    With `takes_form` the members may be those of a form instead, all of them text; with `takes_any_type` it is JSON
    whatever it is declared to be.
    """
    if not body.strip():
        return {}
    media_type = headers.get(b"content-type")
    if takes_form and media_type is not None and _FORM.fullmatch(media_type):
        return dict(pairs_of(body))
    if not takes_any_type and media_type is not None and not _JSON.fullmatch(media_type):
        shown = media_type.decode("latin-1")[:100]
        raise UnsupportedMediaType(
            "unsupported_media_type",
            f"The body is declared as {shown!r}; send JSON with the header Content-Type: application/json.",
        )
    try:
        text = body.decode()
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_not_a_number)
    except UnicodeDecodeError:
        raise Invalid("invalid_json", "The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise Invalid(
            "invalid_json", f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise Invalid("invalid_json", "The body is nested too deeply.") from None
    except ValueError:
        raise Invalid("invalid_json", "The body holds a number with too many digits.") from None
    if not isinstance(document, dict):
        raise Invalid("invalid_json", "The body must be a JSON object.")
    # Only an escape can bring in what is no text: half a surrogate pair, or NUL, which PostgreSQL cannot keep.
    if "\\u" in text:
        _check_texts(document, "")
    return document


def body_of(document: dict[str, Any], wanted: type[S]) -> S:
    """Raises Invalid naming the member that does not fit."""
    try:
        return msgspec.convert(document, wanted)
    except msgspec.ValidationError as error:
        _refuse(str(error), wanted)


def pairs_of(query: bytes) -> list[tuple[str, str]]:
    """The parameters of a query string. Raises Invalid."""
    if not query:
        return []
    try:
        return parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_QUERY_LIMIT
        )
    except UnicodeDecodeError:
        raise Invalid("invalid_field", "The query string is not UTF-8.") from None
    except ValueError:
        raise Invalid("invalid_field", f"The query string has more than {_QUERY_LIMIT} parameters.") from None


def query_of(pairs: Sequence[tuple[str, str]], wanted: type[S]) -> S:
    """Raises Invalid naming the parameter that does not fit, that is no text, or that is there twice."""
    if not pairs:
        return wanted()
    values = dict(pairs)
    for name, value in pairs:
        if "\0" in value and name in wanted.__struct_fields__:
            raise _no_text(name)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        if twice in wanted.__struct_fields__:
            raise Invalid("invalid_field", f"{twice} is given more than once.", field=twice)
    try:
        return msgspec.convert(values, wanted, strict=False)
    except msgspec.ValidationError as error:
        _refuse(str(error), wanted)


def with_value(
    refusal: Invalid, document: Mapping[str, Any] | None, pairs: Sequence[tuple[str, str]]
) -> Invalid:
    """The refusal of a parameter or a member, with what was sent for it as a detail, if anything was."""
    field = str(refusal.details.get("field", ""))
    sent: Any = document
    for part in field.split("."):
        sent = sent.get(part, _NOTHING) if isinstance(sent, Mapping) else _NOTHING
    if sent is _NOTHING:
        sent = dict(pairs).get(field, _NOTHING)
    if sent is _NOTHING:
        return refusal
    shown = sent if isinstance(sent, str) else json.dumps(sent, ensure_ascii=False)
    return Invalid(refusal.code, refusal.message, **(dict(refusal.details) | {"sent": shown}))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Invalid("invalid_json", f"{twice[:100]} is given more than once.", field=twice[:100])
    return members


def _not_a_number(constant: str) -> NoReturn:
    raise Invalid("invalid_json", f"The body is not JSON: {constant} is not a JSON value.")


def _check_texts(value: Any, member: str) -> None:
    match value:
        case str() if "\0" in value or not _is_unicode(value):
            raise _no_text(member)
        case dict():
            for name, each in value.items():
                inner = f"{member}.{name}" if member else name
                _check_texts(name, inner.encode("ascii", "replace").decode())
                _check_texts(each, inner)
        case list():
            for each in value:
                _check_texts(each, member)
        case _:
            pass


def _no_text(member: str) -> Invalid:
    return Invalid("invalid_field", f"{member} holds a character that is not text.", field=member)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(problem: str, wanted: type[msgspec.Struct]) -> NoReturn:
    """Says a msgspec problem as a customer would read it."""
    found = _PROBLEM.fullmatch(problem)
    what, path = (found["what"], found["path"]) if found else (problem, None)
    field = re.sub(r"\[[^\]]*\]", "", (path or "").removeprefix("."))
    if missing := _MISSING.fullmatch(what):
        field = f"{field}.{missing[1]}" if field else missing[1]
        raise Invalid("missing_field", f"{field} is required", field=field)
    if not field:
        raise Invalid("invalid_json", "The body must be a JSON object.")
    raise Invalid("invalid_field", f"{field} {_sentence(what, field, wanted)}.", field=field)


def _sentence(what: str, field: str, wanted: type[msgspec.Struct]) -> str:
    if choices := _choices(wanted).get(field):
        return f"must be one of {', '.join(choices)}" + (
            ", or an array" if _may_be_array(wanted, field) else ""
        )
    if wrong := _WRONG_TYPE.fullmatch(what):
        names = [_TYPES.get(name.strip(), name.strip()) for name in wrong[1].split("|")]
        return f"must be {' or '.join(name for name in names if name != 'null')}"
    if length := _LENGTH.fullmatch(what):
        unit = "characters" if length[1] == "str" else "entries"
        return f"must have at {'most' if length[2] == '<=' else 'least'} {length[3]} {unit}"
    if bound := _BOUND.fullmatch(what):
        return f"must be {'at most' if bound[1][0] == '<' else 'at least'} {bound[2]}"
    if "decimal string" in what:
        return "must be a number"
    if "out of range" in what:
        return "is out of range"
    if "matching regex" in what:
        return "is empty, too long or holds characters that are not allowed"
    return "is not valid"


def _may_be_array(wanted: type[msgspec.Struct], field: str) -> bool:
    options = get_args(get_type_hints(wanted)[field])
    return any(get_origin(option) in {list, tuple} for option in options)


@lru_cache(256)
def _choices(wanted: type[msgspec.Struct]) -> dict[str, list[str]]:
    """The members that take one of a few words, and the words."""
    found = {}
    for name, hint in get_type_hints(wanted).items():
        words = [
            str(word)
            for option in (hint, *get_args(hint))
            for word in (
                get_args(option)
                if get_origin(option) is Literal
                else [each.value for each in option]
                if isinstance(option, type) and issubclass(option, Enum)
                else []
            )
        ]
        if words:
            found[name] = list(dict.fromkeys(words))
    return found
