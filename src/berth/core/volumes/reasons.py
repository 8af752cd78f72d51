"""Why a volume is not as it was asked for: a stable code and a sentence that a customer may read.

docs/failures.md tells more.
"""

SENTENCES = {
    "no_capacity": "The provider has no room for the volume.",
    "refused": "The provider did not make the volume.",
    "provider_unreachable": "The provider could not be reached.",
    "volume_lost": "The provider no longer has this volume.",
    "attach_refused": "The provider did not attach the volume.",
    "detach_refused": "The provider did not detach the volume.",
    "clone_failed": "The volume could not be copied.",
    "clone_cancelled": "The copy was cancelled.",
    "resize_refused": "The provider did not grow the volume.",
}


def because(code: str, sentence: str | None = None) -> str:
    """The `status_reason` for `code`, in the provider's own words where it has any."""
    return f"{code}: {sentence or SENTENCES[code]}"


def sentence_of(reason: str) -> str:
    """A `status_reason` without its code."""
    return reason.partition(": ")[2]
