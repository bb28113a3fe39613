"""docker-compose.yml and the files that it mounts fit each other, the Dockerfile and the service's settings."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings, load_settings
from service.telemetry.tracing import is_wanted
from tests.repository import REPOSITORY

DOCKER = REPOSITORY / "docker"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


SERVICES = read(REPOSITORY / "docker-compose.yml")["services"]


def by_default(value: object) -> str:
    """A value with each ${NAME:-DEFAULT} replaced by its default."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", str(value))


def in_profile(name: str) -> set[str]:
    return {service for service, found in SERVICES.items() if name in found.get("profiles", [])}


def test_each_profile_adds_its_services_to_the_demo() -> None:
    assert {name for name, found in SERVICES.items() if "profiles" not in found} == {"clairo", "postgres", "redis"}
    assert in_profile("gpu") == {"clairo-gpu"}
    assert in_profile("observe") == {"prometheus", "grafana", "collector"}
    assert in_profile("train") == {"train"}


@pytest.mark.parametrize("name", ["clairo", "clairo-gpu"])
def test_every_setting_of_the_services_is_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_compose = {key: by_default(value) for key, value in SERVICES[name]["environment"].items()}
    environment = {"CLAIRO_BUNDLE": "/bundles/demo", **of_compose}
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    settings = load_settings(Settings, {}, environment)
    assert settings.device == ("cuda" if name == "clairo-gpu" else "cpu")
    assert not is_wanted(environment)


@pytest.mark.parametrize("name", ["clairo", "clairo-gpu", "train"])
def test_our_containers_have_a_read_only_root_and_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    dockerfile = (REPOSITORY / service["build"]["dockerfile"]).read_text(encoding="utf-8")
    assert f" AS {service['build']['target']}\n" in dockerfile
    assert all(re.search(rf"^ARG .*\b{name}\b", dockerfile, re.MULTILINE) for name in service["build"]["args"])


def test_ports_are_published_on_loopback_alone_and_do_not_collide() -> None:
    published = [by_default(port) for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len(set(published)) == len(published) == 4


def test_every_mounted_file_exists() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", []) if volume[0] == "."]
    assert mounts
    assert all(volume.endswith(":ro") and (REPOSITORY / volume.split(":")[0]).exists() for volume in mounts)


def test_prometheus_scrapes_the_services_under_the_job_of_the_alerts() -> None:
    configuration = read(DOCKER / "prometheus" / "prometheus.yml")
    (job,) = configuration["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == {"clairo", "clairo-gpu"} <= SERVICES.keys()
    assert SERVICES["clairo"]["ports"][0].endswith(f":{found['port']}")
    (rules,) = configuration["rule_files"]
    alerts = (DOCKER / "prometheus" / rules).read_text(encoding="utf-8")
    assert set(re.findall(r'job="(\w+)"', alerts)) == {job["job_name"]}


def test_grafana_finds_prometheus_and_the_board() -> None:
    provisioning = DOCKER / "grafana" / "provisioning"
    (source,) = read(provisioning / "datasources" / "prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in SERVICES
    (provider,) = read(provisioning / "dashboards" / "clairo.yml")["providers"]
    board = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert str(Path(board).parent) == provider["options"]["path"]
    (variable,) = json.loads((DOCKER / "grafana" / "clairo.json").read_text(encoding="utf-8"))["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", source["type"])


def test_the_collector_takes_spans_where_the_comment_sends_them() -> None:
    collector = read(DOCKER / "collector" / "collector.yml")
    port = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].split(":")[1]
    text = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
    assert re.findall(r"http://collector:(\d+)", text) == [port]
    for pipeline in collector["service"]["pipelines"].values():
        for part in ("receivers", "processors", "exporters"):
            assert set(pipeline[part]) <= collector[part].keys()
