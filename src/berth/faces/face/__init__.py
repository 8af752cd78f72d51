"""What every face stands on: the request edge, the shape of a routes table, and what is read off it.

It knows no face, no vendor's words and no envelope: those come with the `Face` that it is given.
"""

from berth.faces.face.authentication import authenticate_by_key
from berth.faces.face.context import Context, Policy
from berth.faces.face.docs import docs_page
from berth.faces.face.edge import Edge
from berth.faces.face.known_keys import KnownKeys
from berth.faces.face.openapi import About, document
from berth.faces.face.origins import parse_networks
from berth.faces.face.rates import Limits, Quotas, Rate, Rates
from berth.faces.face.refusals import (
    BodyTooLarge,
    Crashed,
    MethodNotAllowed,
    RouteNotFound,
    UnsupportedMediaType,
)
from berth.faces.face.table import Call, Face, Headers, Listing, Page, Reply, Route, Sent, Text

__all__ = [
    "About",
    "BodyTooLarge",
    "Call",
    "Context",
    "Crashed",
    "Edge",
    "Face",
    "Headers",
    "KnownKeys",
    "Limits",
    "Listing",
    "MethodNotAllowed",
    "Page",
    "Policy",
    "Quotas",
    "Rate",
    "Rates",
    "Reply",
    "Route",
    "RouteNotFound",
    "Sent",
    "Text",
    "UnsupportedMediaType",
    "authenticate_by_key",
    "docs_page",
    "document",
    "parse_networks",
]
