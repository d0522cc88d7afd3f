"""docker/kubernetes says what the server knows: its settings, its paths, its times, the user of its image."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # its stubs are not installed

from fhirstore import FhirStore
from server.http.health import health_routes
from server.settings.environment import from_environment
from tests.docker.dockerfile import stages
from tests.docs.pages import ROOT

FOLDER = ROOT / "docker" / "kubernetes"
Document = dict[str, Any]


def documents() -> list[Document]:
    """Returns every document of the folder but the kustomization."""
    paths = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
    return [document for path in paths for document in yaml.safe_load_all(path.read_text())]


def _kind(kind: str) -> dict[str, Document]:
    return {one["metadata"]["name"]: one for one in documents() if one["kind"] == kind}


def _pods() -> Iterator[tuple[str, Document]]:
    """Yields the name and the pod of each workload."""
    for name, one in _kind("Deployment").items():
        yield name, one["spec"]["template"]
    for name, one in _kind("CronJob").items():
        yield name, one["spec"]["jobTemplate"]["spec"]["template"]


PODS = dict(_pods())


def _environment(pod: Document) -> dict[str, str]:
    """The variables of a pod's container, as the ConfigMap and `env` give them."""
    (container,) = pod["spec"]["containers"]
    env: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            env |= _kind("ConfigMap")[source["configMapRef"]["name"]]["data"]
    return env | {one["name"]: one["value"] for one in container.get("env", [])}


@pytest.mark.parametrize("name", PODS)
def test_each_pod_has_settings_that_a_server_starts_with(name: str) -> None:
    """Every variable is known, and none is malformed or contradicts another; values are texts, as Kubernetes wants."""
    env = _environment(PODS[name])
    assert all(isinstance(value, str) for value in env.values())
    settings = from_environment(env | stages(ROOT / "docker" / "Dockerfile")[-1].environment() | env)
    assert settings.store.startswith("s3://") and not settings.worker


@pytest.mark.parametrize("name", PODS)
def test_each_pod_has_the_user_of_the_image_and_no_rights(name: str) -> None:
    """Not root, no capabilities, a root file system that is read-only but for /tmp and the index, bounded memory."""
    spec = PODS[name]["spec"]
    (container,) = spec["containers"]
    user = stages(ROOT / "docker" / "Dockerfile")[-1].one("USER").text
    assert f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}" == user
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    index = ["/data/index"] if container["args"] == ["serve"] else []
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert mounts == ["/tmp", *index]  # noqa: S108 - of the container
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    assert container["resources"]["limits"]["memory"]
    assert spec["serviceAccountName"] in _kind("ServiceAccount")
    assert container["image"] == "fhirstore"


async def test_probes_ask_paths_that_are_there_and_restarts_do_not_depend_on_the_store() -> None:
    """Readiness asks for the store, liveness does not; both by the port of the image."""
    (container,) = PODS["fhirstore-server"]["spec"]["containers"]
    async with FhirStore.open("memory:") as store:
        paths = {route.path for route in health_routes(store)}
    probes = {name: container[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert {each["path"] for each in probes.values()} <= paths
    assert probes["readinessProbe"]["path"] == "/health/ready" and probes["livenessProbe"]["path"] == "/health/live"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {each["port"] for each in probes.values()} <= set(ports)
    assert str(ports["http"]) == stages(ROOT / "docker" / "Dockerfile")[-1].environment()["PORT"]


def test_a_server_that_ends_is_out_of_the_balancer_first_and_has_the_time_it_needs() -> None:
    """Drain is longer than two failed readiness checks, and the grace period than drain, stop timeout and 5 s."""
    spec = PODS["fhirstore-server"]["spec"]
    settings = from_environment(_environment(PODS["fhirstore-server"]))
    probe = spec["containers"][0]["readinessProbe"]
    assert settings.drain > probe["periodSeconds"] * probe["failureThreshold"]
    assert spec["terminationGracePeriodSeconds"] > settings.drain + settings.stop_timeout + 5


def test_selectors_find_the_pods_they_mean() -> None:
    """Deployments, the service, the budget, and the network policies select by labels that pods have."""
    labels = {name: pod["metadata"]["labels"] for name, pod in PODS.items()}
    server = labels["fhirstore-server"]
    selectors = [
        *(one["spec"]["selector"]["matchLabels"] for one in _kind("Deployment").values()),
        _kind("Service")["fhirstore"]["spec"]["selector"],
        _kind("PodDisruptionBudget")["fhirstore-server"]["spec"]["selector"]["matchLabels"],
        *(one["spec"]["podSelector"]["matchLabels"] for one in _kind("NetworkPolicy").values()),
    ]
    for selector in selectors:
        assert any(selector.items() <= each.items() for each in labels.values()), selector
    assert selectors[2] == selectors[3] == server
    target = _kind("HorizontalPodAutoscaler")["fhirstore-server"]["spec"]["scaleTargetRef"]
    assert target["name"] in _kind(target["kind"])


def test_the_kustomization_has_every_file() -> None:
    """Nothing of the folder is forgotten; where kubectl is installed it builds them."""
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert set(listed["resources"]) == {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    kubectl = shutil.which("kubectl")
    if kubectl is not None:
        done = subprocess.run(
            [kubectl, "kustomize", str(FOLDER)], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert len(list(yaml.safe_load_all(done.stdout))) == len(documents())
