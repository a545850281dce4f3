"""The manifests: they build, the API takes them, and what they name is there."""

from __future__ import annotations

import json

import kubernetes_validate.utils as schemas
import pytest
import yaml

from common.settings import ServiceSettings
from gateway.settings import TASKS_OF, GatewaySettings
from tests.deploy.k8s import (
    ALL,
    CLUSTER_KINDS,
    CUSTOM_KINDS,
    K8S,
    NAMESPACE,
    OVERLAYS,
    PARTS,
    SERVICES,
    VARIANTS,
    build,
    environment,
    job_templates,
    kustomize,
    matches,
    named,
    of_kind,
    pods,
)

# Headless Services, native sleep in preStop and gRPC probes are in all of these.
VERSIONS = ("1.34", "1.37")
# Made by an operator, from what is in no repository.
SECRETS_TO_BE_MADE = {
    "nocode-vision-s3",
    "nocode-vision-tokens",
    *(f"nocode-vision-tls-{part}" for part in PARTS),
}


@pytest.fixture(params=ALL)
def objects(request):
    """Everything of an overlay, or of a variant of one."""
    return build(request.param)


def everything():
    """Every object of every overlay, once, and the Jobs of the templates."""
    made = [*kustomize(K8S / "cluster")]
    for name in ALL:
        made += build(name)
        for template, job in job_templates(build(name)).items():
            made.append({**job, "metadata": {**job["metadata"], "name": template}})
    return {json.dumps(one, sort_keys=True): one for one in made}.values()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version, validate):
    """By the schemas of two versions of Kubernetes."""
    problems = []
    for made in everything():
        if made["kind"] in CUSTOM_KINDS:
            continue
        try:
            validate(made, version)
        except schemas.ValidationError as error:
            problems.append(f"{schemas.kn(made)}: {list(error.path)}: {error.message}")

    assert problems == []


def test_a_wrong_field_would_be_found(validate):
    """The check above is one: a field that does not exist is refused."""
    wrong = json.loads(json.dumps(named(build("local"), "Deployment", "gateway")))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}

    with pytest.raises(schemas.ValidationError):
        validate(wrong, VERSIONS[0])


def test_kinds_without_a_schema_are_known_ones():
    """Nothing escapes the check by a misspelled kind or version."""
    custom = {
        (made["kind"], made["apiVersion"]) for made in everything() if made["kind"] in CUSTOM_KINDS
    }

    assert custom == set(CUSTOM_KINDS.items())


def test_everything_is_in_the_namespace(objects):
    """Only what belongs to no namespace is in none."""
    for made in objects:
        if made["kind"] in CLUSTER_KINDS:
            assert "namespace" not in made["metadata"]
        else:
            assert made["metadata"]["namespace"] == NAMESPACE, made["metadata"]["name"]


def test_names_are_unique(objects):
    keys = [(made["kind"], made["metadata"]["name"]) for made in objects]

    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("service", SERVICES)
def test_a_task_can_be_deployed_alone(service):
    """With what it needs itself, and nothing of the other parts."""
    alone = build(f"only-{service}")

    assert [made["metadata"]["name"] for made in of_kind(alone, "Deployment")] == [service]
    others = {*PARTS} - {service}
    assert not [made for made in alone if made["metadata"]["name"] in others]


@pytest.mark.parametrize("service", SERVICES)
def test_a_task_alone_is_what_it_is_in_production_but_for_gpus(service):
    """So that the other parts can join it."""
    for kind in ("Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"):
        alone = named(build(f"only-{service}"), kind, service)
        assert alone == named(build("production"), kind, service)


def test_the_services_differ_in_their_names_alone():
    """Nothing is set for one of them and forgotten for the others."""
    for overlay in ("local", "production"):
        texts = {
            json.dumps(
                [
                    made
                    for made in build(overlay)
                    if service in json.dumps([made["metadata"], made.get("subjects")])
                ],
                sort_keys=True,
            ).replace(service, "…")
            for service in SERVICES
        }
        assert len(texts) == 1


def test_the_parts_are_those_of_the_code():
    """A service that is added to the gateway is added here."""
    deployed = {made["metadata"]["name"] for made in of_kind(build("local"), "Deployment")}
    (container,) = named(build("local"), "Deployment", "gateway")["spec"]["template"]["spec"][
        "containers"
    ]

    assert deployed == {"gateway", *TASKS_OF}
    backends = json.loads(environment(build("local"), container)["NOCODE_BACKENDS"])
    assert backends == {service: f"{service}:50051" for service in TASKS_OF}


def test_labels_select_what_they_should(objects):
    """A Deployment its own pods, and a Service the pods of its name, by ports that they have."""
    for pod in pods(objects):
        if pod.owner["kind"] != "Job":
            selected = [
                p.name for p in pods(objects) if matches(pod.owner["spec"]["selector"], p.labels)
            ]
            assert selected == [pod.name]
    for service in of_kind(objects, "Service"):
        found = [
            pod
            for pod in pods(objects)
            if matches({"matchLabels": service["spec"]["selector"]}, pod.labels)
        ]
        assert found, service["metadata"]["name"]
        for pod in found:
            ports = {port["name"] for c in pod.containers for port in c.get("ports", ())}
            for port in service["spec"]["ports"]:
                assert "targetPort" not in port or port["targetPort"] in ports


def test_task_services_are_headless(objects):
    """The gateway balances by itself, which needs the addresses of all replicas."""
    for service in of_kind(objects, "Service"):
        if service["metadata"]["name"] in SERVICES:
            assert service["spec"]["clusterIP"] == "None"


def test_ports_are_those_that_the_servers_are_told(objects):
    """The port that a container declares is the one that its process listens on."""
    for pod in pods(objects):
        for container in pod.containers:
            told = environment(objects, container)
            for port in container.get("ports", ()):
                variable = {
                    "grpc": "NOCODE_PORT",
                    "health": "NOCODE_HEALTH_PORT",
                    "metrics": "NOCODE_METRICS_PORT",
                }.get(port["name"])
                assert variable is None or told[variable] == str(port["containerPort"])


def test_every_setting_is_one(objects):
    """A misspelled variable would be ignored without a word."""
    for pod in pods(objects):
        for container in pod.containers:
            settings = GatewaySettings if container["name"] == "gateway" else ServiceSettings
            known = {f"NOCODE_{name.upper()}" for name in settings.model_fields}
            shared = set(environment(objects, {"envFrom": container.get("envFrom", ())}))
            own = {variable["name"] for variable in container.get("env", ())} - shared
            assert {name for name in own if name.startswith("NOCODE_")} <= known, pod.name
    common = set(named(objects, "ConfigMap", "nocode-vision")["data"])
    of_services = {f"NOCODE_{name.upper()}" for name in ServiceSettings.model_fields}
    assert common <= of_services | {"OTEL_EXPORTER_OTLP_ENDPOINT"}


def test_settings_of_services_are_accepted(objects, monkeypatch):
    """With the Secret, they are all that a service needs; the same for the gateway."""
    for pod in pods(objects):
        for container in pod.containers:
            if container["name"] not in {*PARTS, "worker"}:
                continue
            variables = environment(objects, container)
            if container["name"] != "gateway":
                variables |= {"NOCODE_S3_ACCESS_KEY": "key", "NOCODE_S3_SECRET_KEY": "secret"}
            with monkeypatch.context() as patched:
                for name, value in variables.items():
                    patched.setenv(name, value)
                kind = GatewaySettings if container["name"] == "gateway" else ServiceSettings
                settings = kind()
            # Otherwise it refuses to start.
            is_job = pod.owner["kind"] == "Job"
            assert is_job or settings.allow_open or settings.missing_protection() == []


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if name != "local"])
def test_nothing_is_open_but_the_local_overlay(overlay):
    for config in of_kind(build(overlay), "ConfigMap"):
        assert "NOCODE_ALLOW_OPEN" not in config["data"]


def test_what_is_referred_to_is_there(objects):
    """ConfigMaps, Secrets, accounts, priorities and roles."""
    made = {(one["kind"], one["metadata"]["name"]) for one in objects}
    made |= {("Secret", name) for name in SECRETS_TO_BE_MADE}
    for pod in pods(objects):
        named_by_pod = {
            ("ServiceAccount", pod.spec["serviceAccountName"]),
            ("PriorityClass", pod.spec["priorityClassName"]),
        }
        if "subdomain" in pod.spec:
            named_by_pod.add(("Service", pod.spec["subdomain"]))
        mounted = {volume["name"] for volume in pod.spec.get("volumes", ())}
        mounted |= {
            claim["metadata"]["name"] for claim in pod.owner["spec"].get("volumeClaimTemplates", ())
        }
        for volume in pod.spec.get("volumes", ()):
            if "secret" in volume:
                named_by_pod.add(("Secret", volume["secret"]["secretName"]))
            if "configMap" in volume:
                named_by_pod.add(("ConfigMap", volume["configMap"]["name"]))
        for container in pod.containers:
            for source in container.get("envFrom", ()):
                for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                    if key in source:
                        named_by_pod.add((kind, source[key]["name"]))
            for variable in container.get("env", ()):
                if "valueFrom" in variable:
                    named_by_pod.add(("Secret", variable["valueFrom"]["secretKeyRef"]["name"]))
            assert {mount["name"] for mount in container["volumeMounts"]} == mounted
        assert named_by_pod <= made, pod.name
    for binding in of_kind(objects, "RoleBinding"):
        assert ("Role", binding["roleRef"]["name"]) in made
        for subject in binding["subjects"]:
            assert ("ServiceAccount", subject["name"]) in made
            assert subject["namespace"] == NAMESPACE


def test_files_that_settings_name_are_mounted(objects):
    """A path in a variable lies in a volume."""
    for pod in pods(objects):
        for container in pod.containers:
            mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
            for name, value in environment(objects, container).items():
                if name.endswith(("_FILE", "_TEMPLATE", "_DIR")):
                    assert any(value.startswith(mount) for mount in mounts), name


def test_workers_run_the_image_of_their_service(objects):
    """Whatever the registry and the release are set to."""
    for name, job in job_templates(objects).items():
        service = name.removeprefix("nocode-vision-job-")
        (deployed,) = named(objects, "Deployment", service)["spec"]["template"]["spec"][
            "containers"
        ]
        assert job["spec"]["template"]["spec"]["containers"][0]["image"] == deployed["image"]


def test_images_have_a_release(objects):
    """`latest` and no tag at all are something else every day."""
    for pod in pods(objects):
        for container in pod.containers:
            assert ":" in container["image"].rsplit("/", 1)[-1], container["image"]
            assert not container["image"].endswith(":latest")


def test_queues_are_there():
    """The queue that a job names, and the one of the cluster behind it, with all it asks for."""
    objects = build("production")
    (queue,) = of_kind(objects, "LocalQueue")
    cluster = kustomize(K8S / "cluster")
    group = named(cluster, "ClusterQueue", queue["spec"]["clusterQueue"])["spec"]["resourceGroups"][
        0
    ]
    flavors = [flavor["name"] for flavor in group["flavors"]]

    assert flavors == [made["metadata"]["name"] for made in of_kind(cluster, "ResourceFlavor")]
    for job in job_templates(objects).values():
        label = job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]
        assert label == queue["metadata"]["name"]
        requests = job["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
        assert set(requests) <= set(group["coveredResources"])


def test_no_queue_is_named_where_there_is_none():
    """A job with the label waits forever in a cluster without Kueue."""
    for name in ALL:
        if not of_kind(build(name), "LocalQueue"):
            for job in job_templates(build(name)).values():
                assert "kueue.x-k8s.io/queue-name" not in job["metadata"]["labels"]


def test_a_call_with_its_task_goes_straight_to_the_service():
    """Each task to its service, and all other calls to our gateway."""
    (route,) = of_kind(build("local+gateway-api"), "GRPCRoute")
    straight = {}
    for rule in route["spec"]["rules"]:
        (backend,) = rule["backendRefs"]
        service = named(build("local+gateway-api"), "Service", backend["name"])
        assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}
        (match,) = rule.get("matches", [{"headers": [{"name": "", "value": ""}]}])
        (header,) = match["headers"]
        straight[header["name"], header["value"]] = backend["name"]

    expected = {("x-nocode-task", task): name for name, tasks in TASKS_OF.items() for task in tasks}
    assert straight == {**expected, ("", ""): "gateway"}


def test_the_launcher_may_do_what_it_does_and_no_more():
    """Jobs and their pods, in the namespace; nobody else may do anything."""
    objects = build("production")
    rules = {
        (group, resource): set(rule["verbs"])
        for role in of_kind(objects, "Role")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }

    assert rules == {
        ("batch", "jobs"): {"create", "get", "list", "watch", "delete"},
        ("", "pods"): {"list", "watch", "delete"},
        ("", "pods/log"): {"get"},
    }
    assert not of_kind(objects, "ClusterRole", "ClusterRoleBinding")
    bound = [s["name"] for b in of_kind(objects, "RoleBinding") for s in b["subjects"]]
    assert sorted(bound) == sorted(SERVICES)


def test_no_secret_is_written_down_but_the_local_one():
    for name in ALL:
        for secret in of_kind(build(name), "Secret"):
            assert (secret["metadata"]["name"], name.split("+")[0]) == ("nocode-vision-s3", "local")


def test_every_component_is_used():
    """What no overlay or variant here builds, no test has seen."""
    used = set()
    for file in K8S.glob("overlays/*/kustomization.yaml"):
        for component in yaml.safe_load(file.read_text()).get("components", ()):
            used.add((file.parent / component).resolve())
    used |= {K8S / "components" / name for _, names in VARIANTS.values() for name in names}
    there = {file.parent for file in K8S.glob("components/**/kustomization.yaml")}

    assert used == there | {K8S.parent / "monitoring"}
