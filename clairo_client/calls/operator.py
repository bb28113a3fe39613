"""Calls for operators: bundles, experiments, health, metrics."""

from clairo_client.answers import (
    ActivatedBundle,
    BundleDetail,
    BundleList,
    ExperimentAnswer,
    ExperimentList,
    Info,
    Live,
    Ready,
)
from clairo_client.calls.call import Call, as_model, as_nothing, quoted

LOADING_SECONDS = 1800.0
"""A bundle that comes into service is verified, given posted items, and warmed up first."""


def list_bundles() -> Call[BundleList]:
    """List bundles that can be served."""
    return Call("GET", "/bundles", as_model(BundleList))


def get_bundle(bundle_id: str) -> Call[BundleDetail]:
    """Get a bundle with the tables and curves of its training."""
    return Call("GET", f"/bundles/{quoted(bundle_id)}", as_model(BundleDetail))


def activate_bundle(bundle_id: str, *, allow_worse: bool = False) -> Call[ActivatedBundle]:
    """Serve another bundle. Answers once it is in service, which may take minutes."""
    query = {"allow_worse": "true"} if allow_worse else {}
    return Call(
        "POST",
        f"/bundles/{quoted(bundle_id)}/activate",
        as_model(ActivatedBundle),
        query=query,
        timeout_seconds=LOADING_SECONDS,
    )


def roll_back_bundle() -> Call[ActivatedBundle]:
    """Serve the bundle that the served one replaced. Answers once it is in service, which may take minutes."""
    # Twice, it goes two bundles back.
    read = as_model(ActivatedBundle)
    return Call("POST", "/bundles/rollback", read, timeout_seconds=LOADING_SECONDS, is_repeatable=False)


def list_experiments() -> Call[ExperimentList]:
    """Get the newest experiment with the results of each arm."""
    return Call("GET", "/experiments", as_model(ExperimentList))


def start_experiment(name: str, share: float, bundle_id: str) -> Call[ExperimentAnswer]:
    """Answer this share of users, 0 to 1, from another bundle. Answers once it is loaded, which may take minutes."""
    body = {"name": name, "share": share, "bundle_id": bundle_id}
    read = as_model(ExperimentAnswer)
    return Call("POST", "/experiments", read, body=body, timeout_seconds=LOADING_SECONDS, is_repeatable=False)


def end_experiment(name: str) -> Call[None]:
    """Answer everybody from the served bundle again."""
    return Call("DELETE", f"/experiments/{quoted(name)}", as_nothing)


def check_live() -> Call[Live]:
    """Check that the process answers."""
    return Call("GET", "/health/live", as_model(Live))


def check_ready() -> Call[Ready]:
    """Check that the service can recommend."""
    return Call("GET", "/health/ready", as_model(Ready))


def get_info() -> Call[Info]:
    """Get version, settings, bundle and catalogue in service."""
    return Call("GET", "/info", as_model(Info))


def get_metrics() -> Call[str]:
    """Get metrics in Prometheus's text format."""
    return Call("GET", "/metrics", lambda answer: answer.text)
