"""The pods of every overlay, workers included: what they may do, use and be killed for."""

from __future__ import annotations

import copy
import itertools

import pytest

from common.settings import ServiceSettings
from tests.deploy.k8s import (
    ALL,
    SERVICES,
    build,
    environment,
    job_templates,
    matches,
    named,
    of_kind,
    pods,
    size,
)

# Pod Security Standards, "restricted": https://kubernetes.io/docs/concepts/security/pod-security-standards/
ALLOWED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip


def violations(spec):
    """Return what a pod does that Pod Security `restricted` does not allow."""
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    pod = spec.get("securityContext", {})
    for volume in spec.get("volumes", ()):
        found += [f"volume {kind}" for kind in set(volume) - {"name"} - ALLOWED_VOLUMES]
    if pod.get("sysctls"):
        found.append("sysctls")
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        own = container.get("securityContext", {})
        capabilities = own.get("capabilities", {})
        for key in ("seLinuxOptions", "appArmorProfile", "windowsOptions"):
            if pod.get(key) or own.get(key):
                found.append(key)
        if own.get("privileged"):
            found.append("privileged")
        if own.get("procMount", "Default") != "Default":
            found.append("procMount")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append("allowPrivilegeEscalation")
        if capabilities.get("drop") != ["ALL"]:
            found.append("capabilities are not dropped")
        if not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"}:
            found.append("capabilities are added")
        if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
            found.append("runAsNonRoot")
        if own.get("runAsUser", pod.get("runAsUser", 1)) == 0:
            found.append("runAsUser")
        profile = own.get("seccompProfile", pod.get("seccompProfile", {}))
        if profile.get("type") not in {"RuntimeDefault", "Localhost"}:
            found.append("seccompProfile")
        found += ["hostPort" for port in container.get("ports", ()) if port.get("hostPort")]
        for hook in (
            *(container.get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")),
            *container.get("lifecycle", {}).values(),
        ):
            if any(hook.get(kind, {}).get("host") for kind in ("httpGet", "tcpSocket")):
                found.append("host of a probe")
    return found


@pytest.fixture(params=ALL)
def objects(request):
    """Everything of an overlay, or of a variant of one."""
    return build(request.param)


@pytest.fixture
def containers(objects):
    """Each container, with its pod."""
    return [(pod, container) for pod in pods(objects) for container in pod.containers]


def test_pods_are_restricted(objects):
    """As the namespace enforces; else they would not be admitted."""
    labels = named(objects, "Namespace", "nocode-vision")["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {pod.name: violations(pod.spec) for pod in pods(objects)} == {
        pod.name: [] for pod in pods(objects)
    }


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (lambda pod, _: pod.update(hostNetwork=True), "hostNetwork"),
        (lambda pod, _: pod["volumes"].append({"hostPath": {"path": "/"}}), "volume hostPath"),
        (lambda pod, _: pod["securityContext"].pop("seccompProfile"), "seccompProfile"),
        (lambda pod, _: pod["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
        (lambda pod, _: pod["securityContext"].update(runAsUser=0), "runAsUser"),
        (lambda _, one: one.pop("securityContext"), "allowPrivilegeEscalation"),
        (lambda _, one: one["securityContext"].update(privileged=True), "privileged"),
        (
            lambda _, one: one["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
            "capabilities are added",
        ),
        (lambda _, one: one["ports"][0].update(hostPort=1), "hostPort"),
    ],
)
def test_a_pod_that_is_not_restricted_is_found(broken, expected):
    """The check above is one."""
    spec = copy.deepcopy(named(build("local"), "Deployment", "gateway")["spec"]["template"]["spec"])

    broken(spec, spec["containers"][0])

    assert expected in violations(spec)


def test_root_file_systems_are_read_only(containers):
    for pod, container in containers:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, pod.name


def test_users_are_those_of_the_images(objects):
    for pod in pods(objects):
        context = pod.spec["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (10001,) * 3


def test_containers_have_requests_and_limits(containers):
    for pod, container in containers:
        for kind in ("requests", "limits"):
            given = set(container["resources"][kind])
            assert {"cpu", "memory", "ephemeral-storage"} <= given, pod.name


def test_volumes_fit_into_the_limits(containers):
    """A volume that may grow past the limit gets the pod evicted instead of an error."""
    for pod, container in containers:
        limits = container["resources"]["limits"]
        empty = [volume["emptyDir"] for volume in pod.spec["volumes"] if "emptyDir" in volume]
        memory = sum(size(one["sizeLimit"]) for one in empty if one.get("medium") == "Memory")
        disk = sum(size(one["sizeLimit"]) for one in empty if "medium" not in one)
        assert disk <= size(limits["ephemeral-storage"]), pod.name
        assert memory <= size(limits["memory"]) / 2, pod.name


def test_scratch_space_holds_what_the_settings_allow(containers, objects):
    """The cache of images and the largest archive, at the same time."""
    for pod, container in containers:
        if not any(mount["mountPath"] == "/work" for mount in container["volumeMounts"]):
            continue
        (work,) = [volume for volume in pod.spec["volumes"] if volume["name"] == "work"]
        variables = environment(objects, container)
        taken = sum(
            int(variables[name])
            for name in ("NOCODE_IMAGE_CACHE_BYTES", "NOCODE_MAX_ARCHIVE_BYTES")
        )
        assert taken <= size(work["emptyDir"]["sizeLimit"]), pod.name


def test_servers_have_probes(containers):
    """All three kinds; a worker has none, since its service watches it by its lease."""
    for pod, container in containers:
        probes = {
            kind for kind in ("startup", "readiness", "liveness") if f"{kind}Probe" in container
        }
        is_worker = pod.owner["kind"] == "Job"
        assert probes == (set() if is_worker else {"startup", "readiness", "liveness"}), pod.name


def test_probes_ask_the_port_without_tls(containers, objects):
    """The nodes' gRPC probes speak no TLS."""
    for pod, container in containers:
        port = environment(objects, container).get("NOCODE_HEALTH_PORT")
        for kind in ("startup", "readiness", "liveness"):
            probe = container.get(f"{kind}Probe", {})
            assert "grpc" not in probe or str(probe["grpc"]["port"]) == port, pod.name


def test_the_gateway_is_not_restarted_for_services_that_are_away(objects):
    """Its health follows theirs, so that liveness must ask for something else."""
    for pod in pods(objects):
        if pod.labels.get("app.kubernetes.io/component") == "gateway":
            (container,) = pod.containers
            assert container["livenessProbe"]["exec"]["command"][-1] == "--alive"


def test_a_stop_waits_for_calls_to_end(containers, objects):
    """The pause before the signal and the time to drain are less than the time until the kill."""
    default = ServiceSettings.model_fields["drain_s"].default
    for pod, container in containers:
        if "app.kubernetes.io/component" not in pod.labels:
            continue
        drain = float(environment(objects, container).get("NOCODE_DRAIN_S", default))
        pause = container.get("lifecycle", {}).get("preStop", {"sleep": {"seconds": 0}})
        assert pause["sleep"]["seconds"] + drain < pod.spec["terminationGracePeriodSeconds"]


def test_only_the_launcher_has_a_token(objects):
    """A pod with a token of its account can talk to the API server."""
    for pod in pods(objects):
        (container, *_) = pod.containers
        launches = environment(objects, container).get("NOCODE_LAUNCHER") == "kubernetes"
        expected = launches and pod.owner["kind"] != "Job"
        assert pod.spec["automountServiceAccountToken"] is expected, pod.name
    for account in of_kind(objects, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_each_part_has_an_account_of_its_own(objects):
    """What one may do, the others may not; workers share one, which may do nothing."""
    by_account = itertools.groupby(
        sorted(pods(objects), key=lambda pod: pod.spec["serviceAccountName"]),
        key=lambda pod: pod.spec["serviceAccountName"],
    )
    for account, made in by_account:
        assert account == "worker" or len(list(made)) == 1


def test_no_pod_is_told_of_other_services(objects):
    """Kubernetes would set variables such as GATEWAY_PORT."""
    assert all(pod.spec["enableServiceLinks"] is False for pod in pods(objects))


def test_training_yields_to_prediction(objects):
    """A worker never pushes anything out, and is pushed out first."""
    classes = {made["metadata"]["name"]: made for made in of_kind(objects, "PriorityClass")}
    training = classes["nocode-vision-training"]

    assert training["preemptionPolicy"] == "Never"
    assert training["value"] < 0 < classes["nocode-vision-prediction"]["value"]
    for pod in pods(objects):
        is_worker = pod.owner["kind"] == "Job"
        expected = "nocode-vision-training" if is_worker else "nocode-vision-prediction"
        assert pod.spec["priorityClassName"] == expected


def test_what_loads_images_has_shared_memory(objects):
    """64 MiB, the default, make data loaders die with a bus error."""
    for pod in pods(objects):
        if pod.labels.get("app.kubernetes.io/component") in {*SERVICES, "worker"}:
            (shm,) = [volume for volume in pod.spec["volumes"] if volume["name"] == "shm"]
            assert shm["emptyDir"]["medium"] == "Memory"
            (container,) = pod.containers
            paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert paths["shm"] == "/dev/shm"


def test_replicas_are_spread_over_machines(objects):
    for pod in pods(objects):
        if pod.owner["kind"] == "Deployment":
            for constraint in pod.spec["topologySpreadConstraints"]:
                assert matches(constraint["labelSelector"], pod.labels)
                assert constraint["labelSelector"]["matchLabels"]


def test_gpus_are_only_for_production():
    """On nodes of their own: each service's predictions, and each one's jobs."""
    for name in ALL:
        objects = build(name)
        pools = []
        for pod in pods(objects):
            (container,) = pod.containers
            gpus = container["resources"]["limits"].get("nvidia.com/gpu", 0)
            on_gpu = environment(objects, container).get("NOCODE_DEVICE") == "cuda"
            assert bool(gpus) == on_gpu == ("nodeSelector" in pod.spec), pod.name
            if gpus:
                assert container["resources"]["requests"]["nvidia.com/gpu"] == gpus
                pool = pod.spec["nodeSelector"]["vision.nocode/pool"]
                tolerated = {t["key"]: t.get("value") for t in pod.spec["tolerations"]}
                assert tolerated == {"nvidia.com/gpu": None, "vision.nocode/pool": pool}
                pools.append(pool)
        expected = [f"{service}{kind}" for service in SERVICES for kind in ("", "-training")]
        assert sorted(pools) == (sorted(expected) if name.startswith("production") else [])


def test_job_templates_leave_to_the_launcher_what_is_its():
    """Names, arguments and retries of a Job are the launcher's."""
    for name in ALL:
        for job in job_templates(build(name)).values():
            (container,) = job["spec"]["template"]["spec"]["containers"]
            assert "name" not in job["metadata"]
            assert "args" not in container
            assert "backoffLimit" not in job["spec"]
            assert job["spec"]["ttlSecondsAfterFinished"] > 0
            assert job["spec"]["activeDeadlineSeconds"] > 0
            assert job["metadata"]["labels"].items() >= {("app.kubernetes.io/component", "worker")}
