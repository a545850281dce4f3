"""The Jobs that the launcher makes from the templates of the manifests."""

from __future__ import annotations

import pytest
import yaml

from common.jobs.launchers.manifests import Template
from common.settings import StorageSettings
from nocode.vision.v1 import job_pb2 as pb
from tests.deploy.k8s import ALL, build, job_templates, named
from tests.deploy.test_k8s_pods import violations

STORAGE = StorageSettings(
    s3_endpoint="https://s3.example.com",
    s3_access_key="key",
    s3_secret_key="secret",
    s3_bucket="bucket",
    s3_region="us-east-1",
)
WITH_JOBS = [name for name in ALL if job_templates(build(name))]
JOB = pb.Job(
    name="tasks/classification/jobs/j1",
    kind=pb.Job.KIND_TRAIN,
    owner="service/1",
    attempt=1,
)


@pytest.fixture(
    scope="module", params=[(name, nodes) for name in WITH_JOBS for nodes in (1, 2)], ids=str
)
def made(request, tmp_path_factory):
    """The Job of each template, for one machine and for two."""
    name, nodes = request.param
    folder = tmp_path_factory.mktemp("templates")
    jobs = []
    for config, template in job_templates(build(name)).items():
        path = folder / f"{config}.yaml"
        path.write_text(yaml.safe_dump(template))
        jobs.append(Template(path, STORAGE, nodes=nodes).manifest(JOB))
    return jobs


def test_the_api_takes_them(made, validate):
    """What the launcher adds to the template included."""
    for job in made:
        validate(job, "1.37")


def test_their_pods_are_restricted(made):
    for job in made:
        assert violations(job["spec"]["template"]["spec"]) == []


def test_the_image_is_told_what_to_do(made):
    """By arguments alone: the image knows its service."""
    for job in made:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert "command" not in container
        assert container["args"][:2] == ["work", JOB.name]


def test_policies_know_their_pods(made):
    """The launcher leaves the labels that policies go by."""
    policy = named(build("local+jobs"), "NetworkPolicy", "worker")["spec"]["podSelector"]
    for job in made:
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert labels.items() >= policy["matchLabels"].items()


def test_machines_of_a_training_find_each_other(made):
    """By a headless Service of the name that the template gives, on a port that it lets through."""
    service = named(build("local+jobs"), "Service", "workers")["spec"]
    for job in made:
        pod = job["spec"]["template"]["spec"]
        variables = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
        if "PET_MASTER_ADDR" in variables:
            assert variables["PET_MASTER_ADDR"].endswith(".workers")
            assert variables["PET_MASTER_PORT"] == str(service["ports"][0]["port"])
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True
