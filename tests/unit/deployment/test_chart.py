"""The chart, rendered by Helm's engine for six sets of values, fits Kubernetes' API and the service's settings."""

from collections.abc import Iterator
from pathlib import Path

import helm_python
import kubernetes_validate
import pytest
import yaml

from service.settings import Settings, load_settings
from tests.documented_commands import fault_of
from tests.repository import REPOSITORY

CHART = REPOSITORY / "docker" / "chart"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
OLDEST, NEWEST = "1.30", "1.37"
SECRETS = {"database-url": "postgresql+psycopg://u:p@h/d", "redis-url": "redis://h:6379/0"}
CUSTOM = {"ScaledObject"}
"""Kinds that Kubernetes itself has no schema for."""
SHOP = {"secret": "clairo", "bundlesClaim": "clairo-bundles"}


def rendered(values: dict) -> dict[str, dict]:
    """The chart's objects by kind; each kind occurs at most once."""
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(chart.merge_values(values))
        texts = chart.render(values, name="clairo", namespace="shop").values()
    objects = [found for text in texts for found in yaml.safe_load_all(text) if found]
    by_kind = {found["kind"]: found for found in objects}
    assert len(by_kind) == len(objects)
    return by_kind


def of_example(path: Path) -> dict[str, dict]:
    return rendered(yaml.safe_load(path.read_text(encoding="utf-8")))


def pods_of(objects: dict[str, dict]) -> Iterator[dict]:
    for kind, found in objects.items():
        if kind in ("Deployment", "Job"):
            yield found["spec"]["template"]["spec"]
        elif kind == "CronJob":
            yield found["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def environment_of(pod: dict) -> dict[str, str]:
    found: dict[str, str] = {}
    for variable in pod["containers"][0]["env"]:
        assert variable["name"] not in found, variable
        value = variable.get("value")
        found[variable["name"]] = SECRETS[variable["valueFrom"]["secretKeyRef"]["key"]] if value is None else value
    return found


examples = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def test_there_are_six_sets_of_values() -> None:
    assert len(EXAMPLES) == 6


@examples
def test_every_object_fits_the_oldest_and_the_newest_api(path: Path) -> None:
    objects = of_example(path)
    for kind in objects.keys() - CUSTOM:
        for version in (OLDEST, NEWEST):
            kubernetes_validate.validate(objects[kind], version, strict=True)


@examples
def test_every_setting_of_the_service_is_known(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = environment_of(of_example(path)["Deployment"]["spec"]["template"]["spec"])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(Settings, {}, environment)
    assert (settings.host, settings.device) == ("0.0.0.0", "cuda" if path.stem == "gpu" else "cpu")
    assert settings.allow_open_network is (path.stem == "trial")


def test_numbers_reach_the_service_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"CLAIRO_CACHE_MAX_ENTRIES": 2_000_000, "CLAIRO_MIGRATE": True, "OTEL_TRACES_SAMPLER_ARG": 0.25}
    environment = environment_of(rendered({**SHOP, "settings": chosen})["Deployment"]["spec"]["template"]["spec"])
    assert (environment["CLAIRO_MIGRATE"], environment["OTEL_TRACES_SAMPLER_ARG"]) == ("true", "0.25")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load_settings(Settings, {}, environment).cache_max_entries == 2_000_000


@examples
def test_every_pod_has_a_read_only_root_and_no_rights(path: Path) -> None:
    for pod in pods_of(of_example(path)):
        # A service link of a Service named clairo is CLAIRO_PORT=tcp://...
        assert pod["enableServiceLinks"] is pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


@examples
def test_selectors_choose_the_service_alone(path: Path) -> None:
    objects = of_example(path)
    deployment = objects["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    selectors = [deployment["selector"]["matchLabels"], objects["Service"]["spec"]["selector"]]
    selectors += [
        spread["labelSelector"]["matchLabels"] for spread in deployment["template"]["spec"]["topologySpreadConstraints"]
    ]
    if "PodDisruptionBudget" in objects:
        selectors.append(objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"])
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert selector["app.kubernetes.io/component"] == "service"


@examples
def test_a_pod_may_drain_longer_than_its_workers_do(path: Path) -> None:
    from service.cli.workers import STOP_SECONDS

    pod = of_example(path)["Deployment"]["spec"]["template"]["spec"]
    pause = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + STOP_SECONDS


@examples
def test_every_command_exists_with_its_flags(path: Path) -> None:
    objects = of_example(path)
    if "Job" in objects:
        assert fault_of(objects["Job"]["spec"]["template"]["spec"]["containers"][0]["command"]) is None
    if "CronJob" in objects:
        container = objects["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
        assert container["command"][2].startswith("exec clairo-train run --out ")
        assert fault_of(["clairo-train", "run", "--out", "/bundles/x", *container["args"]]) is None


def test_bundles_in_storage_need_no_claim_and_both_pods_have_the_credentials() -> None:
    objects = of_example(CHART / "examples" / "storage.yaml")
    assert environment_of(objects["Deployment"]["spec"]["template"]["spec"])["CLAIRO_BUNDLES_DIR"].startswith("s3://")
    pods = [pod for pod in pods_of(objects) if pod["containers"][0]["name"] != "migrate"]
    assert len(pods) == 2
    for pod in pods:
        assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "clairo-storage"}}]
        assert not any("persistentVolumeClaim" in volume for volume in pod["volumes"])
    (container,) = pods[1]["containers"]
    assert '--out "/data/retrained-' in container["command"][2]
    assert "--push=s3://shop-bundles/clairo?region=eu-central-1" in container["args"]
    assert "persistentVolumeClaim" in str(rendered({**SHOP, "retrain": {"enabled": True}})["CronJob"])


def test_replicas_scale_by_the_metric_that_the_service_exports() -> None:
    from service.telemetry.metrics import Metrics

    hpa, keda = (of_example(CHART / "examples" / f"{kind}.yaml") for kind in ("hpa", "keda"))
    metric = hpa["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert f"# TYPE {metric} gauge" in Metrics().exposition().decode()
    (trigger,) = keda["ScaledObject"]["spec"]["triggers"]
    assert trigger["metadata"]["query"] == f'sum({metric}{{namespace="shop", pod=~"clairo-.*"}})'
    assert trigger["metadata"]["threshold"] == "16"
    assert keda["ScaledObject"]["spec"]["scaleTargetRef"]["name"] == keda["Deployment"]["metadata"]["name"]
    for objects in (hpa, keda):
        assert "replicas" not in objects["Deployment"]["spec"]


def test_the_schema_is_migrated_before_an_upgrade_and_only_with_a_database() -> None:
    annotations = rendered(SHOP)["Job"]["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "Job" not in rendered({})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replicas": 2}, "set secret to a Secret with the key database-url"),
        ({"autoscaling": {"kind": "hpa"}}, "several replicas share a PostgreSQL database"),
        ({"retrain": {"enabled": True}}, "with the keys database-url and admin-key"),
        ({"secret": "clairo", "retrain": {"enabled": True}}, "set bundlesClaim"),
        ({**SHOP, "bundlesAddress": "s3://shop/bundles"}, "bundlesClaim and bundlesAddress are both set"),
        ({"bundlesAddress": "s3://KEY:SECRET@shop/bundles"}, "/bundlesAddress"),
        ({**SHOP, "autoscaling": {"kind": "hpa", "minReplicas": 9}}, "minReplicas 9 is above maxReplicas 8"),
        ({"replica": 2}, "replica"),
        ({**SHOP, "autoscaling": {"kind": "keda"}}, "/autoscaling/prometheus"),
        ({"settings": {"PORT": 1}}, "/settings"),
    ],
)
def test_values_that_cannot_work_are_refused_with_the_next_step(values: dict, message: str) -> None:
    with pytest.raises(helm_python.HelmError) as refused:
        rendered(values)
    assert message in str(refused.value)


def test_the_chart_has_no_faults_and_the_version_of_the_package() -> None:
    report = helm_python.lint(CHART, strict=True)
    assert [found for found in report["messages"] if found["severity"] > 1] == report["errors"] == []
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    assert f'version = "{version}"' in (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
