"""Key pairs for SSH. Making one takes a good part of a second: never on an event loop."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_RSA_BITS = 4096
_RSA_EXPONENT = 65537


@dataclass(frozen=True, slots=True)
class KeyPair:
    private_pem: str = field(repr=False)
    public_line: str
    """As it stands in `authorized_keys`."""


def make_rsa(comment: str = "berth-session") -> KeyPair:
    """RSA of 4096 bits; the private half as PKCS#1 PEM, which every SSH client reads."""
    key = rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return KeyPair(pem.decode(), f"{public.decode()} {comment}")


def make_ed25519(comment: str) -> KeyPair:
    """A small key, made at once."""
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return KeyPair(pem.decode(), f"{public.decode()} {comment}")
