"""What an operator asks: bundles, experiments, health, numbers."""

from service.client.calls.call import Call, as_model, quoted
from service.schemas.operator import ActivatedBundle, BundleList, Info, Live, Ready
from service.schemas.recommend import ExperimentList


def list_bundles() -> Call[BundleList]:
    """What can be served."""
    return Call("GET", "/bundles", as_model(BundleList))


def activate_bundle(bundle_id: str, *, allow_worse: bool = False) -> Call[ActivatedBundle]:
    """Serve another bundle, or the one before; answers once it is served, which may take minutes."""
    query = {"allow_worse": "true"} if allow_worse else {}
    return Call("POST", f"/bundles/{quoted(bundle_id)}/activate", as_model(ActivatedBundle), query=query)


def list_experiments() -> Call[ExperimentList]:
    """Which experiment runs, and what came of each arm."""
    return Call("GET", "/experiments", as_model(ExperimentList))


def check_live() -> Call[Live]:
    """Does the process answer?"""
    return Call("GET", "/health/live", as_model(Live))


def check_ready() -> Call[Ready]:
    """Can it recommend?"""
    return Call("GET", "/health/ready", as_model(Ready))


def get_info() -> Call[Info]:
    """What is being served?"""
    return Call("GET", "/info", as_model(Info))


def get_metrics() -> Call[str]:
    """Counts and times in Prometheus's text format."""
    return Call("GET", "/metrics", lambda answer: answer.text)
