"""An SSH public key as kept."""

from dataclasses import dataclass

from berth.base.clock import Instant


@dataclass(frozen=True, slots=True)
class SshKey:
    id: str
    project: str
    name: str
    public_key: str
    """One line: type, base64, optional comment."""
    fingerprint: str
    """`SHA256:` and the unpadded base64 of the digest, as `ssh-keygen -l` prints it."""
    key_type: str
    """ed25519, rsa or ecdsa; keys in hardware count as what they sign with."""
    created_at: Instant
