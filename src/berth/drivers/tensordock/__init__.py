"""The driver for TensorDock, a marketplace of virtual machines, by its API v2."""

from berth.drivers.tensordock.config import TensorDockConfig
from berth.drivers.tensordock.driver import TensorDockDriver

__all__ = ["TensorDockConfig", "TensorDockDriver"]
