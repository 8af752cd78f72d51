"""SSH keys: one usable public key a line, nothing else, kept once and copied when ordered."""

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth.base.db import Database
from berth.core import keys
from berth.core.errors import Conflict, Forbidden, Invalid, NotFound
from berth.core.events import Actor
from tests import make

VECTOR = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f test@example"
FINGERPRINT = "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA"


def generated(algorithm: str, **options: Any) -> str:
    key = asyncssh.generate_private_key(algorithm, **options)
    return key.export_public_key("openssh").decode().strip()


def line(kind: str, *members: bytes, outer: str | None = None) -> str:
    blob = b"".join(len(member).to_bytes(4) + member for member in (kind.encode(), *members))
    return f"{outer or kind} {base64.b64encode(blob).decode()} comment"


def point(curve: str) -> bytes:
    """Of a real key, uncompressed."""
    blob = base64.b64decode(generated(f"ecdsa-sha2-{curve}").split()[1])
    return blob[-{"nistp256": 65, "nistp384": 97, "nistp521": 133}[curve] :]


def test_the_published_vector_has_its_fingerprint() -> None:
    parsed = keys.parse(VECTOR)
    assert (parsed.fingerprint, parsed.key_type, parsed.line) == (FINGERPRINT, "ed25519", VECTOR)


@pytest.mark.parametrize(
    ("algorithm", "options", "key_type"),
    [
        ("ssh-ed25519", {}, "ed25519"),
        ("ssh-rsa", {"key_size": 2048}, "rsa"),
        ("ssh-rsa", {"key_size": 3072}, "rsa"),
        ("ecdsa-sha2-nistp256", {}, "ecdsa"),
        ("ecdsa-sha2-nistp384", {}, "ecdsa"),
        ("ecdsa-sha2-nistp521", {}, "ecdsa"),
    ],
)
def test_a_real_key_is_read_as_openssh_reads_it(
    algorithm: str, options: dict[str, int], key_type: str
) -> None:
    public = generated(algorithm, **options)
    parsed = keys.parse(public)
    assert parsed.key_type == key_type
    assert parsed.fingerprint == asyncssh.import_public_key(public).get_fingerprint()


def test_ssh_keygen_agrees_about_a_fingerprint(tmp_path: Path) -> None:
    public = generated("ssh-ed25519")
    (tmp_path / "key.pub").write_text(public + "\n")
    try:
        done = subprocess.run(
            ["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        assert keys.parse(public).fingerprint == asyncssh.import_public_key(public).get_fingerprint()
    else:
        assert keys.parse(public).fingerprint == done.stdout.split()[1]


def test_a_key_in_hardware_counts_as_what_it_signs_with() -> None:
    hardware = line("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", point("nistp256"), b"ssh:")
    assert keys.parse(hardware).key_type == "ecdsa"
    assert keys.parse(line("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:")).key_type == "ed25519"


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", "  {}  ", "\n{}"])
def test_blanks_around_a_key_are_dropped(around: str) -> None:
    assert keys.parse(around.format(VECTOR)).line == VECTOR


def test_a_key_needs_no_comment_and_may_have_a_long_one() -> None:
    bare = " ".join(VECTOR.split()[:2])
    assert keys.parse(bare).fingerprint == FINGERPRINT
    assert keys.parse(bare + " Zoë's laptop, the old one").fingerprint == FINGERPRINT


def rsa(bits: int, exponent: int = 65537, *, modulus: int | None = None) -> str:
    number = modulus if modulus is not None else (1 << (bits - 1)) | 1
    width = number.bit_length() // 8 + 1
    return line("ssh-rsa", exponent.to_bytes(3), number.to_bytes(width))


BLOB = VECTOR.split()[1]
BAD: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "blank": lambda: "  \n ",
    "a word": lambda: "hello",
    "type alone": lambda: "ssh-ed25519",
    "type and blank": lambda: "ssh-ed25519 ",
    "an unknown type": lambda: line("ssh-dss", bytes(128)),
    "an option": lambda: f'command="rm -rf /" {VECTOR}',
    "an address": lambda: f'from="10.0.0.0/8" {VECTOR}',
    "a word before": lambda: f"restrict {VECTOR}",
    "a comment line": lambda: f"# {VECTOR}",
    "a private key": lambda: asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode(),
    "half a private key": lambda: "-----BEGIN OPENSSH PRIVATE KEY-----",
    "a certificate": lambda: line("ssh-ed25519-cert-v01@openssh.com", bytes(32), bytes(32)),
    "another type inside": lambda: line("ssh-ed25519", bytes(32), outer="ssh-rsa"),
    "another curve inside": lambda: line("ecdsa-sha2-nistp256", b"nistp384", b"\x04" + bytes(64)),
    "no curve inside": lambda: line("ecdsa-sha2-nistp256", b"", b"\x04" + bytes(64)),
    "a short point": lambda: line("ecdsa-sha2-nistp256", b"nistp256", b"\x04" + bytes(10)),
    "a point of another curve": lambda: line("ecdsa-sha2-nistp384", b"nistp384", b"\x04" + bytes(64)),
    "a point beside its curve": lambda: line(
        "ecdsa-sha2-nistp256", b"nistp256", point("nistp256")[:-1] + b"\0"
    ),
    "the point zero": lambda: line("ecdsa-sha2-nistp384", b"nistp384", b"\x04" + bytes(96)),
    "a point beyond its prime": lambda: line("ecdsa-sha2-nistp521", b"nistp521", b"\x04" + b"\xff" * 132),
    "a point in hardware beside its curve": lambda: line(
        "sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", b"\x04" + bytes(64), b"ssh:"
    ),
    "a squeezed point": lambda: line("ecdsa-sha2-nistp256", b"nistp256", b"\x02" + bytes(32)),
    "cut off": lambda: VECTOR.split(maxsplit=1)[0] + " " + BLOB[:-8],
    "cut off in its padding": lambda: VECTOR.split(maxsplit=1)[0] + " " + BLOB[:-1],
    "a byte too few": lambda: line("ssh-ed25519", bytes(31)),
    "a byte too many": lambda: line("ssh-ed25519", bytes(33)),
    "a member too many": lambda: line("ssh-ed25519", bytes(32), b"x"),
    "bytes behind": lambda: "ssh-ed25519 " + base64.b64encode(base64.b64decode(BLOB) + b"\0\0\0\1").decode(),
    "no base64": lambda: "ssh-ed25519 !!!!",
    "base64 with holes": lambda: f"ssh-ed25519 {BLOB[:10]}*{BLOB[10:]}",
    "a short rsa": lambda: generated("ssh-rsa", key_size=1024),
    "an rsa of 2047 bits": lambda: rsa(2047),
    "an rsa longer than any server takes": lambda: rsa(16385),
    "a negative rsa": lambda: line("ssh-rsa", (65537).to_bytes(3), ((1 << 2047) | 1).to_bytes(256)),
    "an even rsa": lambda: rsa(2048, modulus=1 << 2047),
    "an rsa of exponent one": lambda: rsa(2048, exponent=1),
    "an rsa of exponent zero": lambda: rsa(2048, exponent=0),
    "two lines": lambda: f"{VECTOR}\n{VECTOR}",
    "a line break in the comment": lambda: f"{VECTOR} a\nssh-rsa AAAA",
    "a carriage return": lambda: f"{VECTOR}\rx",
    "a tab": lambda: VECTOR.replace(" ", "\t"),
    "a zero byte": lambda: f"{VECTOR}\0",
    "a zero byte before": lambda: f"\0{VECTOR}",
    "a separator of lines": lambda: f"{VECTOR}\u2028x",
    "half a character": lambda: f"{VECTOR} \ud800",
    "too long": lambda: f"{VECTOR} {'x' * 16384}",
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_public_key_is_refused(what: str) -> None:
    with pytest.raises(Invalid) as refusal:
        keys.parse(BAD[what]())
    assert (refusal.value.code, refusal.value.details) == ("invalid_field", {"field": "public_key"})


def test_a_private_key_is_never_repeated_in_the_refusal() -> None:
    private = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    with pytest.raises(Invalid) as refusal:
        keys.parse(private)
    assert not any(part in refusal.value.message for part in private.splitlines()[1:-1])


@given(st.one_of(st.text(max_size=200), st.text(max_size=60).map(lambda text: f"ssh-ed25519 {text}")))
def test_no_text_is_anything_but_a_key_or_refused(text: str) -> None:
    with pytest.raises(Invalid):
        keys.parse(text)


@given(st.binary(max_size=300), st.sampled_from(["ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256"]))
def test_no_bytes_are_anything_but_a_key_or_refused(blob: bytes, kind: str) -> None:
    with pytest.raises(Invalid):
        keys.parse(f"{kind} {base64.b64encode(blob).decode()}")


def test_a_key_is_kept_and_shown_and_removed_once(db: Database) -> None:
    by = make.project(db).by
    key = make.ssh_key(db, by, public_key_line=VECTOR)
    assert (key.fingerprint, key.key_type, key.public_key) == (FINGERPRINT, "ed25519", VECTOR)
    assert db.read_now(keys.get, by, key.id) == key
    assert db.write_now(keys.remove, by, key.id) == key
    for verb in (keys.remove, keys.get):
        with pytest.raises(NotFound):
            db.write_now(verb, by, key.id)
    assert make.ssh_key(db, by, public_key_line=VECTOR).id != key.id


def test_the_same_key_again_names_the_one_that_is_there(db: Database) -> None:
    by, other = make.project(db).by, make.project(db).by
    key = make.ssh_key(db, by, public_key_line=VECTOR)
    with pytest.raises(Conflict) as refusal:
        make.ssh_key(db, by, "another name", public_key_line=VECTOR.replace("test@example", "x"))
    assert (refusal.value.code, refusal.value.details) == ("duplicate", {"existing_ssh_key_id": key.id})
    assert make.ssh_key(db, other, public_key_line=VECTOR).id != key.id
    make.ssh_key(db, by, key.name)


def test_keys_are_listed_newest_first_and_only_ours(db: Database) -> None:
    ours, theirs = make.project(db).by, make.project(db).by
    made = [make.ssh_key(db, ours, f"key {n}") for n in range(3)]
    hidden = make.ssh_key(db, theirs)
    listed = db.read_now(keys.list_keys, ours)
    assert sorted(key.id for key in listed) == sorted(key.id for key in made)
    for verb in (keys.get, keys.remove):
        with pytest.raises(NotFound):
            db.write_now(verb, ours, hidden.id)


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\0b"])
def test_a_name_nobody_could_read_is_refused(db: Database, name: str) -> None:
    by = make.project(db).by
    with pytest.raises(Invalid, match="name"):
        db.write_now(keys.add, by, name=name, public_key=VECTOR)


def test_an_order_takes_each_key_once_and_names_those_nobody_knows(db: Database) -> None:
    ours, theirs = make.project(db).by, make.project(db).by
    first, second, hidden = make.ssh_key(db, ours), make.ssh_key(db, ours), make.ssh_key(db, theirs)
    taken = db.read_now(keys.take, ours, [second.id, first.id, second.id])
    assert [key.id for key in taken] == [second.id, first.id]
    with pytest.raises(Invalid) as refusal:
        db.read_now(keys.take, ours, [first.id, hidden.id, "nonsense"])
    assert refusal.value.details["unknown"] == [hidden.id, "nonsense"]
    for wanted in ([], [f"{n}" for n in range(21)]):
        with pytest.raises(Invalid, match="1 to 20"):
            db.read_now(keys.take, ours, wanted)


def test_without_the_scope_keys_are_neither_added_nor_seen(db: Database) -> None:
    by = make.project(db).by
    with pytest.raises(Forbidden):
        make.ssh_key(db, make.allowed(by, "ssh_keys:read"))
    with pytest.raises(Forbidden):
        db.read_now(keys.list_keys, make.allowed(by, "deployments:write"))


FAKE = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC...test-not-base64== someone@somewhere\n"


def verbatim(db: Database, by: Actor, text: str = FAKE, name: str = "laptop") -> keys.SshKey:
    return db.write_now(keys.add_verbatim, by, name=name, public_key=text)


def test_a_key_kept_verbatim_is_what_was_sent_and_may_repeat(db: Database) -> None:
    by = make.project(db).by
    line = make.public_key() + "\n"
    kept = [verbatim(db, by, text) for text in (FAKE, FAKE, line, line)]
    assert [key.public_key for key in kept] == [FAKE, FAKE, line, line]
    assert len({key.id for key in kept}) == 4
    assert kept[2].fingerprint == keys.parse(line).fingerprint
    assert [db.read_now(keys.get, by, key.id) for key in kept] == kept
    assert {key.id for key in db.read_now(keys.list_keys, by)} == {key.id for key in kept}


def test_keys_that_are_looked_at_are_as_unique_as_before(db: Database) -> None:
    by = make.project(db).by
    line = make.public_key()
    verbatim(db, by, line)
    first = make.ssh_key(db, by, public_key_line=line)
    assert not first.is_verbatim
    verbatim(db, by, line)
    with pytest.raises(Conflict) as refused:
        make.ssh_key(db, by, public_key_line=line)
    assert refused.value.details["existing_ssh_key_id"] == first.id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-rsa",
        "ssh-rsa \n",
        "nonsense AAAA",
        "two words",
        f"{FAKE}{FAKE}",
        "ssh-rsa AAAA x\x00y",
        'command="x" ssh-rsa AAAA',
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ssh-rsa " + "A" * 16 * 1024,
    ],
)
def test_what_has_not_the_shape_of_one_key_is_refused(db: Database, text: str) -> None:
    with pytest.raises(Invalid):
        verbatim(db, make.project(db).by, text)


def test_verbatim_keys_count_against_the_quota_too(db: Database) -> None:
    by = make.project(db).by
    for _ in range(keys.service.KEYS_PER_PROJECT):
        verbatim(db, by)
    with pytest.raises(Conflict) as refused:
        verbatim(db, by)
    assert refused.value.code == "quota"


def test_many_are_removed_without_asking_whether_they_are_there(db: Database) -> None:
    by = make.project(db).by
    kept = [verbatim(db, by) for _ in range(3)]
    other = verbatim(db, make.project(db).by)
    removed = db.write_now(
        keys.remove_many, by, [kept[0].id, kept[1].id, kept[0].id, "nonsense", "nul\0", other.id]
    )
    assert {key.id for key in removed} == {kept[0].id, kept[1].id}
    assert db.read_now(keys.list_keys, by) == [kept[2]]


def test_an_order_takes_a_verbatim_key_without_what_is_around_it(db: Database) -> None:
    by = make.project(db).by
    kept = verbatim(db, by)
    made = make.ordered(db, by, ssh_key_ids=[kept.id])
    assert made.ssh_public_keys == (FAKE.strip(),)


@pytest.mark.parametrize("line", [FAKE, "ssh-rsa AAAA", "ssh-rsa", "", "ssh-ed25519 x"])
def test_nothing_is_said_of_how_weak_a_key_is_that_is_none(line: str) -> None:
    assert keys.weakness(line) is None
