"""The inventory: an immutable snapshot of every provider's offers, for shoppers who compare, held by a `Shelf`."""

from berth.core.catalog.inventory.model import Found, Listed, Order, Seller, Wanted
from berth.core.catalog.inventory.snapshot import Inventory, scan
from berth.core.catalog.inventory.taking import Shelf

__all__ = ["Found", "Inventory", "Listed", "Order", "Seller", "Shelf", "Wanted", "scan"]
