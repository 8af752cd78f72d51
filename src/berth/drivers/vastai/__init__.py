"""The driver for Vast.ai, a marketplace of other people's machines: an instance there is a container on one of them."""

from berth.drivers.vastai.config import VastaiConfig
from berth.drivers.vastai.driver import VastaiDriver

__all__ = ["VastaiConfig", "VastaiDriver"]
