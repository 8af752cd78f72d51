"""A face's documentation as one HTML page that needs nothing else: no script, no other host."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from berth.faces.face.openapi import tag_of
from berth.faces.face.table import Route

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a2233;
  background: #fff; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #cdd5e0; }
details { border: 1px solid #cdd5e0; border-radius: 6px; margin: .5rem 0; }
summary { cursor: pointer; padding: .5rem .75rem; }
details > div { padding: 0 .75rem .5rem; overflow-x: auto; }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
pre { background: #f3f5f9; padding: .75rem; border-radius: 6px; overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
.method { display: inline-block; min-width: 4.5rem; font-weight: 600; }
@media (prefers-color-scheme: dark) {
  body { color: #dde3ee; background: #12161f; } pre { background: #1d2330; }
  details, h2 { border-color: #333c4d; } a { color: #8ab4ff; }
}
"""


def docs_page(
    document: Mapping[str, Any], routes: Sequence[Route], how: str | None = None, path: str | None = None
) -> str:
    """The page for the face whose OpenAPI document is `document`; `how` is HTML that says how to begin.

    `path` is where the document lies, unless it is right below the face's prefix.
    """
    prefix = document["servers"][0]["url"]
    title = f"{document['info']['title']} {document['info']['version']}"
    by_tag: dict[str, list[Route]] = {}
    for route in routes:
        by_tag.setdefault(tag_of(route.path), []).append(route)
    sections = "".join(
        f"<h2>{escape(tag)}</h2>" + "".join(_route(document, route) for route in by_tag[tag])
        for tag in by_tag
    )
    where = f"Everything below <code>{escape(prefix)}</code>. " if prefix else ""
    how = how or (
        "<p>Every request carries an API key:</p>"
        f'<pre>curl -H "X-API-Key: mk_your_key" http://localhost:8080{escape(prefix)}{escape(routes[0].path)}</pre>'
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<p>{where}As a document for programs: "
        f'<a href="{escape(path or prefix + "/openapi.json")}">openapi.json</a>.</p>'
        f"{how}{sections}</body></html>"
    )


def _route(document: Mapping[str, Any], route: Route) -> str:
    operation = document["paths"][route.path][route.method.lower()]
    parts = [f"<p>{escape(operation['description'].replace('`', ''))}</p>"]
    parameters = [
        (f"{each['name']} ({each['in']})", each["schema"], each["required"])
        for each in operation["parameters"]
    ]
    parts.append(_table("Parameters", parameters))
    if route.body is not None:
        parts.append(_table("Body", _members(document, route.body.__name__)))
    for answer in route.answer if isinstance(route.answer, tuple) else (route.answer,):
        name = getattr(answer, "__name__", "")
        if name in document["components"]["schemas"]:
            parts.append(_table("Answer", _members(document, name)))
    return (
        f'<details><summary><span class="method">{route.method}</span> <code>{escape(route.path)}</code>'
        f" {escape(route.summary)}</summary><div>{''.join(parts)}</div></details>"
    )


def _members(document: Mapping[str, Any], name: str) -> list[tuple[str, Any, bool]]:
    schema = document["components"]["schemas"][name]
    return [(member, each, member in schema["required"]) for member, each in schema["properties"].items()]


def _table(heading: str, rows: Sequence[tuple[str, Any, bool]]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(schema))}</td>"
        f"<td>{'' if is_required else 'optional'}</td></tr>"
        for name, schema, is_required in rows
    )
    return f"<strong>{heading}</strong><table>{lines}</table>"


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    match schema:
        case {"anyOf": options}:
            return " or ".join(_type(option) for option in options)
        case {"$ref": reference}:
            return str(reference).rsplit("/", 1)[-1]
        case {"enum": words}:
            return " | ".join(str(word) for word in words)
        case {"const": word}:
            return str(word)
        case {"type": "array", "items": items}:
            return f"array of {_type(items)}"
        case {"type": kind}:
            return str(kind)
        case _:
            return "anything"
