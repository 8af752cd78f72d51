"""The embedded default provider: instances on this very host, from PyPI packages alone."""

from berth.drivers.sandbox.config import SandboxConfig
from berth.drivers.sandbox.driver import SandboxDriver

__all__ = ["SandboxConfig", "SandboxDriver"]
