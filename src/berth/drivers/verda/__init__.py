"""The driver for Verda Cloud, or for another Berth by its Verda-compatible API."""

from berth.drivers.verda.config import VerdaConfig
from berth.drivers.verda.driver import VerdaDriver

__all__ = ["VerdaConfig", "VerdaDriver"]
