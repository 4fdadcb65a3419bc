"""What runs rhas on clusters, checked by linters and against the schemas of what reads it; no engine is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
YAML_RULES = "{extends: default, rules: {line-length: {max: 120}, document-start: disable, braces: disable}}"
# Of KubeRay's RayJob, RayCluster and worker groups, as its API reference has them.
JOB = {"entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit", "rayClusterSpec"}
CLUSTER = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
HEAD = {"rayStartParams", "template"}
WORKERS = HEAD | {"groupName", "replicas", "minReplicas", "maxReplicas"}


def lint(*command: str | Path) -> None:
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_passes_its_linter() -> None:
    lint("hadolint", "--failure-threshold", "info", "docker/Dockerfile")


def test_scripts_pass_theirs() -> None:
    lint("shellcheck", *(path.relative_to(ROOT) for path in sorted(DOCKER.glob("*.sh"))))


def test_yaml_passes_its_own() -> None:
    lint("yamllint", "--strict", "-d", YAML_RULES, "docker")


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_files_are_what_the_compose_specification_has(name: str) -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", f"docker/{name}")


def test_the_rayjob_holds_what_kuberay_documents_and_valid_pods() -> None:
    job = yaml.safe_load((DOCKER / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert job["spec"].keys() <= JOB and cluster.keys() <= CLUSTER
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert head.keys() <= HEAD and all(group.keys() <= WORKERS for group in workers)
    for group in (head, *workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "a"},
            "spec": group["template"]["spec"],
        }
        kubernetes_validate.validate(pod, "1.30", strict=True)
        assert pod["spec"]["securityContext"]["runAsNonRoot"]


def test_images_and_clusters_have_the_pinned_ray() -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    job: dict[str, Any] = yaml.safe_load((DOCKER / "rayjob.yaml").read_text())
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pins["ray"]


def test_images_get_all_of_the_package_and_nothing_else() -> None:
    copied = set(re.findall(r"^COPY ((?!--from).+) \S+$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE))
    sources = {name for line in copied for name in line.split()}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == allowed and all((ROOT / name).exists() for name in sources)
    assert {"manifests", "extract", "train", "pipeline", "constraints.txt"} <= sources
