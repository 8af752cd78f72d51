"""What is worth counting about instances and providers, under the names that operators of session brokers know.

A session is an instance, so what is said of sessions holds for every instance, however it was ordered.
"""

from berth.base.meters import Measure

_DOUBLING_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
_CALL_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

PROVIDER_CALLS = Measure(
    "gpu_provider_api_calls_total", "Calls to providers.", ("provider", "operation", "status")
)
PROVIDER_ERRORS = Measure(
    "gpu_provider_api_errors_total", "Calls to providers that failed.", ("provider", "operation")
)
PROVIDER_SECONDS = Measure(
    "gpu_provider_api_response_time_seconds",
    "How long calls to providers took.",
    ("provider", "operation"),
    _CALL_S,
)
DESTROY_FAILURES = Measure(
    "gpu_destroy_failures_total", "Calls to end an instance, orphans among them, that failed."
)
ORPHANS = Measure("gpu_orphans_detected_total", "Instances found at a provider that no row accounts for.")
ORPHANS_DESTROYED = Measure("berth_orphans_destroyed_total", "Orphans that were ended.", ("provider",))
ORPHAN_USD = Measure(
    "berth_orphan_cost_usd_total", "What orphans had cost when they were ended, in dollars.", ("provider",)
)
GHOSTS = Measure("gpu_ghosts_detected_total", "Rows of whose instance the provider has nothing any more.")
MISMATCHES = Measure(
    "gpu_reconciliation_mismatches_total", "Differences between our rows and what a provider says."
)
CREATED = Measure("gpu_sessions_created_total", "Instances that a provider made for us.", ("provider",))
DESTROYED = Measure(
    "gpu_sessions_destroyed_total",
    "Instances of which a provider confirmed that they are gone, by why they ended.",
    ("provider", "reason"),
)
BOOT_SECONDS = Measure(
    "gpu_provisioning_duration_seconds", "From the order to the first login.", ("provider",), _DOUBLING_S
)
SSH_SECONDS = Measure(
    "gpu_ssh_verify_duration_seconds",
    "From the call that made an instance to its SSH server's first answer.",
    ("provider",),
    _DOUBLING_S,
)
SSH_ATTEMPTS = Measure(
    "gpu_ssh_verify_attempts",
    "Looks at an instance until its SSH server answered first.",
    ("provider",),
    (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0),
)
SSH_ERRORS = Measure(
    "gpu_ssh_verify_errors_by_type_total",
    "Logins into sessions that are to run that came to nothing, by why.",
    ("provider", "error_type"),
)
API_SECONDS = Measure(
    "gpu_api_verify_duration_seconds",
    "From the call that made an instance without logins to its own server's first answer.",
    ("provider",),
    _DOUBLING_S,
)
API_FAILURES = Measure(
    "gpu_api_verify_failures_total", "Boots given up because an instance's own server did not answer."
)
OFFER_FAILURES = Measure(
    "gpu_offer_failures_total",
    "Instances that failed by the fault of their offer.",
    ("provider", "gpu_type", "failure_type"),
)
RETRIES = Measure(
    "gpu_session_retry_attempts_total",
    "Sessions that went to another offer, by the provider of the one that failed.",
    ("provider", "scope", "reason"),
)
RETRIES_SUCCEEDED = Measure(
    "gpu_session_retry_successes_total", "Sessions that run at another offer.", ("provider", "scope")
)
RETRIES_EXHAUSTED = Measure(
    "gpu_session_retry_exhausted_total",
    "Sessions that asked for another offer and found none any more.",
    ("provider", "scope"),
)
HARD_MAX = Measure(
    "gpu_hard_max_enforced_total", "Sessions that were ended because none may be older than they were."
)
DISK_FREE_GB = Measure(
    "gpu_session_disk_available_gb",
    "What was free of a session's disk at each look inside.",
    ("provider",),
    (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0),
)
SSH_FAILURES = Measure("gpu_ssh_verify_failures_total", "Boots given up because nothing could be reached.")

ALL = (
    PROVIDER_CALLS,
    PROVIDER_ERRORS,
    PROVIDER_SECONDS,
    DESTROY_FAILURES,
    ORPHANS,
    ORPHANS_DESTROYED,
    ORPHAN_USD,
    GHOSTS,
    MISMATCHES,
    CREATED,
    DESTROYED,
    BOOT_SECONDS,
    SSH_SECONDS,
    SSH_ATTEMPTS,
    SSH_FAILURES,
    SSH_ERRORS,
    API_SECONDS,
    API_FAILURES,
    OFFER_FAILURES,
    RETRIES,
    RETRIES_SUCCEEDED,
    RETRIES_EXHAUSTED,
    HARD_MAX,
    DISK_FREE_GB,
)
