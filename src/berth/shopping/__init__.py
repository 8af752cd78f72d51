"""A shopper's side of the command line: compare offers, take one, log in, end it, see what it cost.

A client of the shopper's API over HTTP, wherever that runs; it knows no database and no setting but its data directory.
"""

from berth.shopping.calls import Failed
from berth.shopping.commands import register

__all__ = ["Failed", "register"]
