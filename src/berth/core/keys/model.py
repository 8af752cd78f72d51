"""An SSH public key as kept."""

from dataclasses import dataclass

from berth.base.clock import Instant


@dataclass(frozen=True, slots=True)
class SshKey:
    id: str
    project: str
    name: str
    public_key: str
    """One line: type, base64, optional comment. Verbatim, with a line break at its end perhaps, where it was kept so."""
    fingerprint: str
    """`SHA256:` and the unpadded base64 of the digest, as `ssh-keygen -l` prints it; of what is no key, of its text."""
    key_type: str
    """ed25519, rsa or ecdsa; keys in hardware count as what they sign with."""
    created_at: Instant
    is_verbatim: bool = False
    """Kept as it was sent, looked at no closer than its shape: nobody may be able to log in with it."""
