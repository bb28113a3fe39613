"""Metrics, /info, logs, traces and headers."""

import http.server
import json
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from clairo_core.bundle.bundle import Bundle
from service.telemetry.logs import REQUEST_ID, JsonLines, TextLines, without_secrets
from service.telemetry.tracing import is_wanted
from tests.running_service import running_process, running_service

CONTRACT = {
    "clairo_request_duration_seconds",
    "clairo_queue_duration_seconds",
    "clairo_generate_duration_seconds",
    "clairo_encode_duration_seconds",
    "clairo_batch_size",
    "clairo_queue_depth",
    "clairo_cache_requests_total",
    "clairo_fallback_total",
    "clairo_recommended_total",
    "clairo_recommended_new_total",
    "clairo_catalogue_items",
    "clairo_bundle_info",
    "clairo_live_counts_timestamp_seconds",
}
MUG = {"item_id": "secret-item-77", "title": "Blue mug", "description": "Holds tea"}


async def samples(client: httpx.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples by name and labels."""
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_items_posted_after_training_are_counted_also_in_repeated_answers(client: httpx.AsyncClient) -> None:
    assert (await client.post("/items", json=MUG)).status_code == 201
    for num_answers in (1, 2):
        await client.post("/recommend", json={"history": ["item-1"], "filter": {"only_new": True}})
        assert (await samples(client))["clairo_recommended_new_total", frozenset()] == num_answers
    await client.post("/recommend", json={"history": ["item-1"], "filter": {"only_new": False}})
    assert (await samples(client))["clairo_recommended_new_total", frozenset()] == 2


async def test_requests_batches_caches_and_sources_are_counted(client: httpx.AsyncClient, bundle: Bundle) -> None:
    before = await samples(client)
    for _ in range(2):
        await client.post("/recommend", json={"history": ["item-1"], "limit": 5})
    await client.post("/recommend", json={"history": [], "limit": 3})
    assert (await client.post("/items", json=MUG)).status_code == 201
    assert (await client.get("/items/nothing-of-this-id")).status_code == 404
    after = await samples(client)

    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after[key] - before.get(key, 0.0)

    assert grown("clairo_cache_requests_total", result="hit") == 1
    assert grown("clairo_cache_requests_total", result="miss") == 2
    assert grown("clairo_fallback_total", reason="empty_history") == 1
    assert grown("clairo_recommended_total", source="generative") == 10
    assert grown("clairo_recommended_total", source="popular") == 3
    assert grown("clairo_encode_duration_seconds_count") == 1
    assert grown("clairo_batch_size_sum") == 2
    assert grown("clairo_queue_duration_seconds_count") == 2
    assert 1 <= grown("clairo_generate_duration_seconds_count") <= 2
    counted = "clairo_request_duration_seconds_count"
    assert grown(counted, method="POST", route="/recommend", status="200") == 3
    assert grown(counted, method="POST", route="/items", status="201") == 1
    assert grown(counted, method="GET", route="/items/{item_id}", status="404") == 1
    assert after["clairo_catalogue_items", frozenset()] == 61
    assert after["clairo_queue_depth", frozenset()] == 0
    assert after["clairo_bundle_info", frozenset({("bundle_id", bundle.manifest.bundle_id)})] == 1


async def test_every_metric_of_the_contract_exists_and_none_names_an_item(client: httpx.AsyncClient) -> None:
    await client.post("/recommend", json={"history": [], "limit": 3})
    await client.get("/items/secret-item-77")
    await client.request("BREW", "/a/path/of/my/own")
    text = (await client.get("/metrics")).text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert names >= CONTRACT
    assert "secret-item-77" not in text
    assert "/a/path" not in text
    assert 'method="other",route="none",status="404"' in text


async def test_requests_refused_before_routing_are_counted_too(client: httpx.AsyncClient) -> None:
    await client.post("/recommend", content=b" " * (2 * 1024 * 1024))
    assert ("route", "none") in {
        label for (name, labels) in await samples(client) if name.endswith("_count") for label in labels
    }


async def test_info_has_versions_device_and_settings_but_no_path_or_address(client: httpx.AsyncClient) -> None:
    answer = await client.get("/info")
    served = answer.json()
    assert served["device"] == "cpu"
    assert served["qualities"]["balanced"] == {"num_views": 2, "num_beams": 20}
    assert served["uptime_seconds"] > 0
    assert {"clairo", "torch"} <= served["releases"].keys()
    for hidden in ("sqlite", "redis", "data_dir", "bundle_dir", str(Path.cwd())):
        assert hidden not in answer.text


async def test_info_shows_what_a_bundle_learned_before_it_was_measured_and_after(bundle: Bundle) -> None:
    trained_on = {"measured": 80, "served": 100}
    for learned in (trained_on, None):
        manifest = replace(bundle.manifest, trained_on=learned)
        async with running_service(replace(bundle, manifest=manifest)) as client:
            assert (await client.get("/info")).json()["trained_on"] == learned


async def test_every_answer_has_security_headers_and_json_is_never_cached_by_proxies(client: httpx.AsyncClient) -> None:
    for path in (
        "/",
        "/info",
        "/metrics",
        "/items/not-there",
        "/nothing",
        "/openapi.json",
        "/playground/playground.js",
    ):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert "default-src" in headers["content-security-policy"], path
        assert headers["x-frame-options"] == "DENY", path
        assert headers["x-request-id"], path
    assert (await client.get("/info")).headers["cache-control"] == "no-store"


def log_record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("clairo.test", logging.INFO, __file__, 1, message, arguments, None)
    vars(record).update(extra)
    return record


def test_a_json_line_has_the_request_id_and_extra_fields() -> None:
    token = REQUEST_ID.set("request-1")
    try:
        line = json.loads(JsonLines().format(log_record("posted %s", "mug", seconds=0.5, path="/items")))
    finally:
        REQUEST_ID.reset(token)
    assert line["message"] == "posted mug"
    assert (line["level"], line["logger"], line["request_id"]) == ("INFO", "clairo.test", "request-1")
    assert (line["seconds"], line["path"]) == (0.5, "/items")
    assert line["time"].endswith("+00:00")


def test_a_json_line_holds_an_exception() -> None:
    record = log_record("failed")
    try:
        int("postgresql://shop:hidden-word@db/clairo")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    line = JsonLines().format(record)
    assert "\n" not in line
    assert "ValueError" in json.loads(line)["exception"]
    assert "hidden-word" not in line


@pytest.mark.parametrize(
    "text",
    [
        "redis://:hidden-word@cache:6379/0 is gone",
        "postgresql+psycopg://shop:hidden-word@db:5432/clairo",
        "header Authorization: Bearer hidden-word",
        "{'x-api-key': 'hidden-word'}",
        "X-API-Key: hidden-word",
        "host=db password=hidden-word dbname=clairo",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    for formatter in (JsonLines(), TextLines()):
        line = formatter.format(log_record("%s", text, detail=text))
        assert "hidden-word" not in line
        assert "***" in line
    assert without_secrets("http://db:5432/x says user@example.org") == "http://db:5432/x says user@example.org"


def test_traces_are_off_unless_a_standard_variable_asks_for_them() -> None:
    assert not is_wanted({})
    assert not is_wanted({"OTEL_SERVICE_NAME": "shop"})
    assert is_wanted({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"})
    assert is_wanted({"OTEL_TRACES_EXPORTER": "otlp"})
    assert not is_wanted({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"})


class Collector:
    """An OTLP collector over HTTP that keeps all spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.service_names: set[str] = set()
        collector = self

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = ExportTraceServiceRequest()
                sent.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
                for of_resource in sent.resource_spans:
                    names = (pair for pair in of_resource.resource.attributes if pair.key == "service.name")
                    collector.service_names.update(pair.value.string_value for pair in names)
                    for of_scope in of_resource.scope_spans:
                        collector.spans.extend(of_scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.thread = threading.Thread(target=self.server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    collector.thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    collector.thread.join()


def test_a_real_process_sends_spans_below_the_clients_but_not_of_those_who_watch_it_and_logs_json(
    bundle: Bundle, tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    for name in [name for name in os.environ if name.startswith("OTEL_") and name != "OTEL_EXPORTER_OTLP_ENDPOINT"]:
        monkeypatch.delenv(name)
    trace_id, parent_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    with running_process(bundle.folder, tmp_path, "--log-format", "json") as service:
        headers = {"traceparent": f"00-{trace_id}-{parent_id}-01", "X-Request-ID": "ours-1"}
        asked = httpx.post(f"{service.url}/recommend", json={"history": ["item-1"]}, headers=headers, timeout=60)
        assert asked.status_code == 200
        nonsense = httpx.get(f"{service.url}/items/item-2?q=words", headers={"traceparent": "00-nonsense"})
        assert nonsense.status_code == 200
        watched = [httpx.get(service.url + path) for path in ("/health/live", "/health/ready", "/metrics")]
        assert [answer.status_code for answer in watched] == [200, 200, 200]
        service.terminate()
    assert collector.service_names == {"clairo"}
    assert sorted(span.name for span in collector.spans) == [
        "GET /items/{item_id}",
        "POST /recommend",
        "clairo.generate",
    ]
    by_name = {span.name: span for span in collector.spans}
    asked_span = by_name["POST /recommend"]
    assert (asked_span.trace_id.hex(), asked_span.parent_span_id.hex()) == (trace_id, parent_id)
    assert by_name["clairo.generate"].parent_span_id == asked_span.span_id
    assert not by_name["GET /items/{item_id}"].parent_span_id
    assert not any(hidden in str(collector.spans) for hidden in ("item-1", "item-2", "words"))
    lines = [json.loads(line) for line in service.lines if line.startswith("{")]
    (line,) = [line for line in lines if line.get("request_id") == "ours-1"]
    assert (line["path"], line["status"], line["logger"]) == ("/recommend", 200, "clairo.requests")
