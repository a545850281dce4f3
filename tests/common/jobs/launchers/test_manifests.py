"""The Kubernetes Job of a worker, made from an operator's template."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from kubernetes_validate import validate

from common.jobs.launchers.manifests import Template, TemplateInvalid, claim_of
from common.jobs.store import Claim
from common.settings import StorageSettings
from nocode.vision.v1 import job_pb2 as pb

TEMPLATE = """
apiVersion: batch/v1
kind: Job
metadata:
  labels: {app.kubernetes.io/component: worker}
spec:
  template:
    spec:
      subdomain: workers
      nodeSelector: {pool: gpu}
      containers:
        - name: worker
          image: registry.example.com/nocode-vision-classification:1
          envFrom: [{configMapRef: {name: nocode-vision}}]
          resources: {limits: {nvidia.com/gpu: 1}}
        - {name: beside, image: beside}
"""
LONGEST = "j" + "o" * 61 + "b"


@pytest.fixture
def template(tmp_path):
    """A template with this text; changes are given as to `StorageSettings`."""

    def template(text: str = TEMPLATE, *, nodes: int = 1, **changes) -> Template:
        path = tmp_path / "job.yaml"
        path.write_text(text)
        values = {"endpoint": "http://s3:9000", "access_key": "a", "secret_key": "b", "bucket": "c"}
        storage = {f"s3_{key}": value for key, value in values.items()} | changes
        return Template(path, StorageSettings(**storage), nodes=nodes)

    return template


def job(
    name="tasks/classification/jobs/job-1", attempt=1, kind=pb.Job.KIND_TRAIN, owner="pod-7-ab"
):
    return pb.Job(name=name, attempt=attempt, owner=owner, kind=kind)


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_the_cluster_takes_it(template, nodes, version):
    """It has no field that two versions of Kubernetes do not know."""
    validate(template(nodes=nodes).manifest(job()), version, strict=True)


def test_it_runs_the_worker_once(template):
    """Whoever retries is the dispatcher, which counts attempts."""
    manifest = template().manifest(job())

    spec = manifest["spec"]
    assert spec["backoffLimit"] == 0
    assert (spec["completions"], spec["parallelism"]) == (1, 1)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["template"]["spec"]["containers"][0]["args"] == [
        "work",
        "tasks/classification/jobs/job-1",
        "--owner=pod-7-ab",
        "--attempt=1",
    ]
    assert "args" not in spec["template"]["spec"]["containers"][1]


def test_it_ends_by_itself_and_goes_away(template):
    """Whatever becomes of the service; the operator may say when."""
    ours = template().manifest(job())["spec"]
    said = TEMPLATE.replace("spec:\n  template", "spec:\n  activeDeadlineSeconds: 60\n  template")
    theirs = template(said).manifest(job())["spec"]
    nothing = template(said.replace(" 60", "")).manifest(job())["spec"]

    assert (ours["ttlSecondsAfterFinished"], ours["activeDeadlineSeconds"]) == (3600, 604800)
    assert theirs["activeDeadlineSeconds"] == 60
    assert nothing["activeDeadlineSeconds"] == 604800


def test_what_the_operator_wrote_stays(template):
    manifest = template().manifest(job())

    pod = manifest["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["containers"][0]["resources"] == {"limits": {"nvidia.com/gpu": 1}}
    assert manifest["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"


def test_its_claim_can_be_read_from_it(template):
    """So that another service instance knows whose it is."""
    manifest = template().manifest(job(attempt=3))

    assert claim_of(manifest) == Claim("tasks/classification/jobs/job-1", "pod-7-ab", 3)
    assert template().selector(["classification"]) == (
        f"vision.nocode/bucket={manifest['metadata']['labels']['vision.nocode/bucket']},"
        "vision.nocode/task in (classification)"
    )
    own = {k: v for k, v in manifest["metadata"]["labels"].items() if k.startswith("vision.nocode")}
    assert manifest["spec"]["template"]["metadata"]["labels"] == own


class TestName:
    """The name of the Job, which is all that keeps an attempt from being started twice."""

    def test_it_is_always_the_same(self, template):
        assert template().name_of(job(owner="a")) == template().name_of(job(owner="b"))

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(job(attempt=2), id="another attempt"),
            pytest.param(job("tasks/detection/jobs/job-1"), id="another task"),
            pytest.param(job("tasks/classification/jobs/job-2"), id="another job"),
        ],
    )
    def test_nothing_else_has_it(self, template, other):
        assert template().name_of(job()) != template().name_of(other)

    def test_nothing_of_another_bucket_has_it(self, template):
        """Two installations may share a namespace."""
        ours, theirs = template(), template(s3_bucket="d")

        assert ours.name_of(job()) != theirs.name_of(job())
        assert ours.selector(["detection"]) != theirs.selector(["detection"])

    @pytest.mark.parametrize("job_id", [LONGEST, "a", f"{'a' * 35}-{'b' * 20}"])
    def test_it_is_a_name_with_room_for_an_index(self, template, job_id):
        """A pod of an Indexed Job is called by its Job's name, a dash and its index."""
        name = template().name_of(job(f"tasks/instance-segmentation/jobs/{job_id}", attempt=999))

        assert re.fullmatch(r"[a-z][a-z0-9-]*[a-z0-9]", name)
        assert "--" not in name
        assert len(f"{name}-99") <= 63
        assert len(f"{name}-99-abcde") <= 63


class TestQueue:
    """Kueue."""

    def test_a_job_for_a_queue_waits_for_it(self, template):
        text = TEMPLATE.replace("labels: {", "labels: {kueue.x-k8s.io/queue-name: training, ")

        assert template(text).manifest(job())["spec"]["suspend"] is True

    def test_others_do_not(self, template):
        assert "suspend" not in template().manifest(job())["spec"]


class TestSeveralMachines:
    """A training that is spread."""

    def test_each_machine_knows_its_rank_and_the_first_one(self, template):
        found = template(nodes=3)
        manifest = found.manifest(job())

        spec = manifest["spec"]
        env = {entry["name"]: entry for entry in spec["template"]["spec"]["containers"][0]["env"]}
        assert spec["completionMode"] == "Indexed"
        assert (spec["completions"], spec["parallelism"]) == (3, 3)
        assert env["PET_NNODES"]["value"] == "3"
        assert env["PET_MASTER_ADDR"]["value"] == f"{found.name_of(job())}-0.workers"
        assert "job-completion-index" in env["PET_NODE_RANK"]["valueFrom"]["fieldRef"]["fieldPath"]

    def test_they_wait_for_each_other_as_long_as_the_job_may(self, template):
        """Not for torchrun's ten minutes: the last one may have to wait for a machine for hours."""
        text = TEMPLATE.replace(
            "spec:\n  template", "spec:\n  activeDeadlineSeconds: 7200\n  template"
        )
        spec = template(text, nodes=2).manifest(job())["spec"]

        env = {entry["name"]: entry for entry in spec["template"]["spec"]["containers"][0]["env"]}
        assert env["PET_RDZV_CONF"]["value"] == "timeout=7200"

    @pytest.mark.parametrize("kind", [pb.Job.KIND_IMPORT, pb.Job.KIND_EVALUATE, pb.Job.KIND_EXPORT])
    def test_what_is_no_training_runs_on_one(self, template, kind):
        spec = template(nodes=3).manifest(job(kind=kind))["spec"]

        assert "completionMode" not in spec
        assert spec["completions"] == 1

    def test_they_need_a_headless_service(self, template):
        with pytest.raises(TemplateInvalid, match=r"subdomain.*NOCODE_KUBERNETES_NODES is 2"):
            template(TEMPLATE.replace("      subdomain: workers\n", ""), nodes=2).read()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("kind: [", "is no YAML", id="no YAML"),
        pytest.param("apiVersion: v1\nkind: Pod", "is a v1 Pod", id="another kind"),
        pytest.param("apiVersion: batch/v1\nkind: Job", "no spec.template.spec", id="no pod"),
        pytest.param(TEMPLATE.replace("image:", "picture:", 1), "an image", id="no image"),
        pytest.param(
            re.sub(r"metadata:\n.*", "metadata: 1", TEMPLATE), "metadata is no", id="metadata"
        ),
        pytest.param(
            TEMPLATE.replace("labels: {", "labels: [{").replace("worker}", "worker}]", 1),
            r"metadata\.labels is no mapping",
            id="labels",
        ),
        pytest.param(
            TEMPLATE.replace("image: r", "args: serve\n          image: r"),
            "args of the first container",
            id="args",
        ),
    ],
)
def test_a_template_that_is_none_is_named(template, text, said):
    """With its file."""
    with pytest.raises(TemplateInvalid, match=said) as raised:
        template(text).read()

    assert "job.yaml" in str(raised.value)


@pytest.mark.parametrize("empty", ["metadata:", "metadata: {labels: , annotations: }"])
def test_what_is_empty_in_a_template_counts_as_missing(template, empty):
    """As for the API."""
    text = re.sub(r"metadata:\n.*", empty, TEMPLATE).replace(
        "  template:\n", f"  template:\n    {empty}\n"
    )

    manifest = template(text).manifest(job())

    assert claim_of(manifest).attempt == 1
    validate(manifest, "1.37", strict=True)


def test_a_file_that_is_not_there_is_named(template, tmp_path):
    found = template()
    (tmp_path / "job.yaml").unlink()

    with pytest.raises(TemplateInvalid, match=re.escape(str(tmp_path / "job.yaml"))):
        found.read()


@pytest.mark.parametrize("service", ["classification", "detection", "segmentation"])
def test_the_templates_that_we_ship_are_good(template, service):
    """Also for several machines."""
    file = Path("deploy/k8s/components/jobs") / service / "job.yaml"

    manifest = template(file.read_text(), nodes=2).manifest(job())

    validate(manifest, "1.37", strict=True)
    assert yaml.safe_dump(manifest)
