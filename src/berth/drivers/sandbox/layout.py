"""What an instance sees: its tree on disk, and the bubblewrap arguments that put it together.

The root directory is the instance's own and is kept over stop and start. `/usr` is the host's: writable
through an overlay where the trial showed that this works, read-only otherwise.
"""

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec

from berth.drivers.sandbox import trees
from berth.drivers.sandbox.records import Spec, replace_file

Layout = Literal["overlay", "bind"]

AGENT = Path(__file__).with_name("agent.py")
LAUNCHER = Path(__file__).with_name("launcher.py")
HOME = "/root"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_OWN_DIRECTORIES = (
    "etc root home usr opt srv mnt media dev proc run tmp "
    "var/cache var/lib var/log var/spool var/tmp"
).split()  # fmt: skip
_FROM_ETC = (
    "bash.bashrc ca-certificates.conf ld.so.cache ld.so.conf ld.so.conf.d localtime mime.types nsswitch.conf "
    "profile protocols services shells ssl/openssl.cnf"
).split()
# Public, one with the host's `/usr`, and many hundred links: copies would be slow and soon out of date.
_SHARED_ETC = ("alternatives", "crypto-policies", "pki/ca-trust", "pki/tls/certs", "ssl/certs")
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


@dataclass(frozen=True, slots=True)
class Runtime:
    """The programs on this host that an instance is made of."""

    bubblewrap: Path
    python: Path
    bound_paths: tuple[Path, ...]
    """What the interpreter needs from outside `/usr`."""
    library_paths: tuple[Path, ...]
    """Where the agent finds its libraries."""


@dataclass(frozen=True, slots=True)
class VolumeBind:
    """A volume that the instance may write."""

    content: Path
    point: PurePosixPath
    """Where it appears, below the instance's root."""


@dataclass(frozen=True, slots=True)
class Program:
    """What runs as the instance, after its tree is put together."""

    arguments: Sequence[str]
    binds: Sequence[tuple[Path, str]] = ()
    """Host path and path inside, read-only."""
    volumes: Sequence["VolumeBind"] = ()
    devices: Sequence[str] = ()
    status_descriptor: int | None = None


def build(directory: Path, spec: Spec, *, layout: Layout, has_network: bool) -> None:
    """Makes the files that an instance begins with, its boot disk among them."""
    build_agent(directory)
    root = directory / "root"
    for name in _OWN_DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "root").chmod(0o700)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    for name in _MERGED:
        host = Path("/", name)
        if host.is_symlink():
            (root / name).symlink_to(host.readlink())
    if layout == "overlay":
        (directory / "usr.up").mkdir()
        (directory / "usr.work").mkdir()
    _fill_etc(root / "etc", spec.hostname, has_network=has_network)


def build_agent(directory: Path) -> None:
    """Makes what an instance has beside its boot disk."""
    (directory / "agent").mkdir(mode=0o700)


def rename_host(disk: Path, hostname: str) -> None:
    """Has a boot disk that others wrote to say the name of who boots from it now."""
    trees.make_directory(disk, PurePosixPath("root", "etc"))
    for name, text in _host_files(hostname).items():
        trees.remove(disk / "root" / "etc" / name)
        replace_file(disk / "root" / "etc" / name, text.encode(), mode=0o644)


def arguments(
    runtime: Runtime,
    directory: Path,
    disk: Path,
    hostname: str,
    program: Program,
    *,
    layout: Layout,
    has_network: bool,
) -> list[str]:
    """The command line that becomes the instance in `directory`, with the boot disk in `disk`."""
    line = [str(runtime.bubblewrap), "--unshare-all", "--hostname", hostname, "--uid", "0", "--gid", "0"]
    if has_network:
        line += ["--share-net"]
    line += ["--bind", str(disk / "root"), "/"]
    line += _shared_with_host(disk, layout)
    line += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/run", "--tmpfs", "/tmp"]  # noqa: S108
    # Late, because they may lie below one of the directories above.
    for path in runtime.bound_paths:
        line += ["--ro-bind", str(path), str(path)]
    line += ["--bind", str(directory / "agent"), "/run/agent"]
    for outside, inside in program.binds:
        line += ["--ro-bind", str(outside), inside]
    for volume in program.volumes:
        line += ["--bind", str(volume.content), str("/" / volume.point)]
    for device in program.devices:
        line += ["--dev-bind", device, device]
    line += ["--chdir", HOME, "--clearenv", "--setenv", "HOME", HOME, "--setenv", "PATH", PATH]
    line += ["--setenv", "LANG", "C.UTF-8", "--cap-drop", "ALL"]
    if program.status_descriptor is not None:
        line += ["--json-status-fd", str(program.status_descriptor)]
    # Isolated and without site packages: neither the customer's files nor the host's choose what is imported.
    return [*line, str(runtime.python), "-I", "-S", *program.arguments]


def prepare(
    runtime: Runtime, directory: Path, disk: Path, volumes: Sequence[VolumeBind], *, layout: Layout
) -> None:
    """Takes out of the way what a stopped instance left there, by mistake or not. Before each start.

    Bubblewrap makes mount points with our rights and in sight of the host's files, and it follows links.
    """
    trees.make_directory(directory, PurePosixPath("agent"))
    trees.remove(directory / "agent" / "ready")
    for point in [*mount_points(runtime), *(volume.point for volume in volumes)]:
        trees.make_directory(disk, "root" / point)
    if layout == "overlay":
        # A disk may have been made where there was no overlay.
        for name in ("usr.up", "usr.work"):
            (disk / name).mkdir(exist_ok=True)


def mount_points(runtime: Runtime) -> list[PurePosixPath]:
    """Where `arguments` mounts something, below the instance's root; and the home, where it begins."""
    shared = ("etc" / PurePosixPath(name) for name in _SHARED_ETC if _is_directory(Path("/etc", name)))
    whole = (
        "usr",
        "dev",
        "proc",
        "run",
        "tmp",
        HOME[1:],
        *filter(lambda name: _is_directory(Path("/", name)), _MERGED),
    )
    bound = (path.relative_to("/") for path in runtime.bound_paths)
    return [*map(PurePosixPath, whole), *shared, *map(PurePosixPath, bound)]


def exposure(runtime: Runtime, state_dir: Path) -> str | None:
    """Why the state directory and the secrets beside it would be seen in instances; None: they would not."""
    shared = [
        Path("/usr"),
        *runtime.bound_paths,
        *filter(_is_directory, (Path("/", name) for name in _MERGED)),
    ]
    for kept in (state_dir.resolve(), state_dir.parent.resolve()):
        for path in shared:
            if kept.is_relative_to(path):
                return f"instances would see {kept}, which lies below {path}: choose another data directory"
    return None


def write_keys(directory: Path, public_keys: Sequence[str]) -> None:
    """Replaces the keys that may log in; they count from the next login on."""
    lines = (" ".join(key.split()) for key in public_keys)
    replace_file(directory / "agent" / "authorized_keys", "".join(f"{line}\n" for line in lines).encode())


def write_agent_settings(
    directory: Path, runtime: Runtime, environment: dict[str, str], *, process_limit: int | None
) -> None:
    defaults = {
        "HOME": HOME,
        "PATH": PATH,
        "USER": "root",
        "LOGNAME": "root",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
    }
    settings = {
        "library_paths": [str(path) for path in runtime.library_paths],
        "environment": defaults | environment,
        "process_limit": process_limit,
    }
    replace_file(directory / "agent.json", msgspec.json.encode(settings))


def _shared_with_host(disk: Path, layout: Layout) -> list[str]:
    """`/usr` and what belongs to it."""
    if layout == "overlay":
        line = [
            "--overlay-src",
            "/usr",
            "--overlay",
            str(disk / "usr.up"),
            str(disk / "usr.work"),
            "/usr",
        ]
    else:
        line = ["--ro-bind", "/usr", "/usr"]
    for name in _MERGED:
        host = Path("/", name)
        if _is_directory(host):
            line += ["--ro-bind", str(host), str(host)]
    for name in _SHARED_ETC:
        host = Path("/etc", name)
        if _is_directory(host):
            line += ["--ro-bind", str(host), str(host)]
    return line


def _is_directory(host: Path) -> bool:
    return host.is_dir() and not host.is_symlink()


def _fill_etc(etc: Path, hostname: str, *, has_network: bool) -> None:
    for name in _FROM_ETC:
        host = Path("/etc", name)
        (etc / name).parent.mkdir(exist_ok=True)
        # What may not be read is left out.
        with contextlib.suppress(shutil.Error, OSError):
            if host.is_dir():
                shutil.copytree(host, etc / name, symlinks=True)
            elif host.exists():
                shutil.copy2(host, etc / name, follow_symlinks=name != "localtime")
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (etc / "group").write_text("root:x:0:\n")
    for name, text in _host_files(hostname).items():
        (etc / name).write_text(text)
    if has_network:
        with contextlib.suppress(OSError):
            (etc / "resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())


def _host_files(hostname: str) -> dict[str, str]:
    """What says below `/etc` how the instance is called."""
    return {
        "hostname": f"{hostname}\n",
        "hosts": f"127.0.0.1 localhost {hostname}\n::1 localhost\n",
    }
