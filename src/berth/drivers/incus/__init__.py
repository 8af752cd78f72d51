"""The driver for own GPU hosts: one Incus server, or a cluster of them."""

from berth.drivers.incus.config import ImageSold, IncusConfig, Location, TypeSold
from berth.drivers.incus.driver import IncusDriver

__all__ = ["ImageSold", "IncusConfig", "IncusDriver", "Location", "TypeSold"]
