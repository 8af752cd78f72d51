"""Whether a line is one SSH public key and nothing more: no options, no certificate, no private key."""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from berth.core.errors import Invalid

LONGEST = 16 * 1024
_LEAST_RSA_BITS = 2048
_ADVISED_RSA_BITS = 3072
_MOST_RSA_BITS = 16384
_LEAST_RSA_EXPONENT = 3
_KINDS = {
    "ssh-ed25519": "ed25519",
    "sk-ssh-ed25519@openssh.com": "ed25519",
    "ssh-rsa": "rsa",
    "ecdsa-sha2-nistp256": "ecdsa",
    "ecdsa-sha2-nistp384": "ecdsa",
    "ecdsa-sha2-nistp521": "ecdsa",
    "sk-ecdsa-sha2-nistp256@openssh.com": "ecdsa",
}
_MEMBERS = {
    "ssh-ed25519": 2,
    "sk-ssh-ed25519@openssh.com": 3,
    "ssh-rsa": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}
_ED25519_BYTES = 32
_POINT_BYTES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}
_CURVES = {
    "nistp256": (
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    "nistp384": (
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    ),
    "nistp521": (
        2**521 - 1,
        0x51953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
    ),
}
"""The prime and the last coefficient of each: y² = x³ - 3x + b (FIPS 186-4, D.1.2)."""
_UNCOMPRESSED = b"\x04"


@dataclass(frozen=True, slots=True)
class Parsed:
    line: str
    fingerprint: str
    key_type: str


def parse(text: str) -> Parsed:
    """Reads one public key. Raises Invalid, saying what is wrong, for anything else."""
    if len(text) > LONGEST:
        raise _invalid(f"is longer than {LONGEST} characters")
    if "PRIVATE KEY" in text:
        raise _invalid("is a private key; send the .pub file and consider the private key leaked")
    line = text.strip(" \r\n\t")
    if not line.isprintable():
        raise _invalid("must be a single line of printable characters")
    kind, _, rest = line.partition(" ")
    encoded, _, _ = rest.strip(" ").partition(" ")
    if "-cert-v01" in kind:
        raise _invalid("is a certificate; send the key itself")
    if kind not in _KINDS:
        raise _invalid("must begin with a supported key type and carry no options, for example ssh-ed25519")
    blob = _decoded(encoded)
    _check_blob(kind, blob)
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return Parsed(line, f"SHA256:{digest}", _KINDS[kind])


def parse_loosely(text: str) -> Parsed:
    """Reads what has the shape of one public key, `<type> <blob> [comment]`, and keeps it as it is. Raises Invalid.

    Whether anybody can log in with it is not looked at: programs store made-up keys to try out what they do.
    """
    if len(text) > LONGEST:
        raise _invalid(f"is longer than {LONGEST} characters")
    if "PRIVATE KEY" in text:
        raise _invalid("is a private key; send the .pub file and consider the private key leaked")
    line = text.strip(" \r\n\t")
    if not line.replace("\t", " ").isprintable():
        raise _invalid("must be a single line of printable characters")
    kind, encoded, *_ = (*line.split(maxsplit=2), "", "")
    if kind not in _KINDS or not encoded:
        raise _invalid("must be a supported key type, such as ssh-ed25519, and the key")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        blob = encoded.encode()
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return Parsed(text, f"SHA256:{digest}", _KINDS[kind])


def weakness(line: str) -> str | None:
    """Why a key that is accepted should rather be another, or None; of what is no key there is nothing to say."""
    kind, encoded, *_ = (*line.split(maxsplit=2), "", "")
    if kind != "ssh-rsa":
        return None
    try:
        members = _split(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        return None
    if (
        members is None
        or len(members) != _MEMBERS[kind]
        or int.from_bytes(members[2]).bit_length() >= _ADVISED_RSA_BITS
    ):
        return None
    return f"RSA keys shorter than {_ADVISED_RSA_BITS} bits are weak; prefer ed25519."


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("is not base64 after its type") from None


def _check_blob(kind: str, blob: bytes) -> None:
    members = _split(blob)
    if members is None or members[:1] != [kind.encode()]:
        raise _invalid("names one type and contains another, or is cut off")
    if len(members) != _MEMBERS[kind]:
        raise _invalid("is cut off or has something added")
    if kind == "ssh-rsa":
        _check_rsa(exponent=members[1], modulus=members[2])
    elif _KINDS[kind] == "ed25519":
        if len(members[1]) != _ED25519_BYTES:
            raise _invalid("is cut off")
    else:
        _check_ecdsa(kind, curve=members[1], point=members[2])


def _check_rsa(*, exponent: bytes, modulus: bytes) -> None:
    e, n = int.from_bytes(exponent, signed=True), int.from_bytes(modulus, signed=True)
    if n % 2 == 0 or e % 2 == 0 or e < _LEAST_RSA_EXPONENT or n < 0:
        raise _invalid("is no RSA key")
    if n.bit_length() < _LEAST_RSA_BITS:
        raise _invalid(f"is an RSA key shorter than {_LEAST_RSA_BITS} bits")
    if n.bit_length() > _MOST_RSA_BITS:
        raise _invalid(f"is an RSA key longer than {_MOST_RSA_BITS} bits, which no SSH server takes")


def _check_ecdsa(kind: str, *, curve: bytes, point: bytes) -> None:
    name = curve.decode("ascii", "replace")
    if name not in _POINT_BYTES or not kind.split("@", maxsplit=1)[0].endswith(name):
        raise _invalid("names one curve and contains another")
    if len(point) != _POINT_BYTES[name] or point[:1] != _UNCOMPRESSED or not _is_on_curve(name, point[1:]):
        raise _invalid("holds no point of its curve, or is cut off")


def _is_on_curve(name: str, coordinates: bytes) -> bool:
    prime, b = _CURVES[name]
    half = len(coordinates) // 2
    x, y = int.from_bytes(coordinates[:half]), int.from_bytes(coordinates[half:])
    return x < prime and y < prime and (y * y - (x * x * x - 3 * x + b)) % prime == 0


def _split(blob: bytes) -> list[bytes] | None:
    """The length-prefixed members of a key; None when the lengths do not add up."""
    members: list[bytes] = []
    while blob:
        size = int.from_bytes(blob[:4])
        if len(blob) < 4 + size:
            return None
        members.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return members


def _invalid(why: str) -> Invalid:
    return Invalid("invalid_field", f"public_key {why}.", field="public_key")
