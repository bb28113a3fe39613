"""OpenTelemetry spans of requests and their costly steps, configured by the standard OTEL_* variables.

Off, and nearly free, unless a variable names an exporter or its address. OpenTelemetry's SDK reads the other
variables: headers, sampler, service name. A client's `traceparent` makes our spans part of its trace. A span has
method, route and status, never an item, a user or a path.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

DEFAULT_SERVICE_NAME = "clairo"
FLUSH_MILLISECONDS = 2000
WATCHED = ("/health/", "/metrics")
"""Paths that machines ask every few seconds: their spans would bury the others."""

_ADDRESSES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROPAGATOR = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer("clairo")


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the OTEL_* variables ask for traces.

    >>> is_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    True
    >>> is_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"})
    False
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    return exporter == "otlp" or (not exporter and any(environment.get(name) for name in _ADDRESSES))


def start_tracing(environment: Mapping[str, str]) -> None:
    """Start sending spans, if the variables ask for it. Call once per process."""
    if not is_wanted(environment):
        return
    # The exporter imports an HTTP library, and the SDK takes a while; load them only if used.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    has_name = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if has_name else {"service.name": DEFAULT_SERVICE_NAME}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def flush_spans() -> None:
    """Send the remaining spans. A collector that is down costs two seconds."""
    # Only the SDK's provider has it.
    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        flush(FLUSH_MILLISECONDS)


@contextmanager
def request_span(method: str, path: str, headers: Mapping[str, str]) -> Iterator[trace.Span]:
    """The span of a request, a child of the client's span if `traceparent` is valid; none for health and metrics."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider) or path.startswith(WATCHED):
        yield trace.INVALID_SPAN
        return
    parent = _PROPAGATOR.extract({name: headers[name] for name in ("traceparent", "tracestate") if name in headers})
    with _TRACER.start_as_current_span(
        method,
        context=parent,
        kind=SpanKind.SERVER,
        attributes={"http.request.method": method},
        record_exception=False,
    ) as span:
        yield span


def finish_request_span(span: trace.Span, method: str, route: str, status: int, request_id: str) -> None:
    """Record route, status and request id on a request's span."""
    if not span.is_recording():
        return
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.route": route, "http.response.status_code": status, "clairo.request_id": request_id})
    if status >= 500:
        span.set_status(StatusCode.ERROR)


@contextmanager
def step(name: str) -> Iterator[None]:
    """A span for a costly step, below the request's span."""
    # An exception's text may quote a client.
    with _TRACER.start_as_current_span(name, record_exception=False, set_status_on_exception=True):
        yield
