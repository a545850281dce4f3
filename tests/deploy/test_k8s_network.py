"""Who may talk to whom, computed from the policies of each overlay."""

from __future__ import annotations

import pytest

from tests.deploy.k8s import (
    ALL,
    OVERLAYS,
    SERVICES,
    build,
    environment,
    matches,
    named,
    of_kind,
    pods,
)
from tests.deploy.k8s_network import Network, Peer, peers

STRANGER = Peer("a pod elsewhere", "default", {"app": "curl"})
PROMETHEUS = Peer("Prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"})
MLFLOW = Peer("MLflow", "mlflow", {"app": "mlflow"})
COLLECTOR = Peer("OTLP", "observability", {"app.kubernetes.io/name": "opentelemetry-collector"})
DNS = Peer("DNS", "kube-system", {"k8s-app": "kube-dns"})
CLIENT = Peer("the internet", address="203.0.113.7")
S3 = Peer("S3", address="198.51.100.4")
METADATA = Peer("metadata of the cloud", address="169.254.169.254")
FRONT = Peer(
    "the Gateway",
    "envoy-gateway-system",
    {"gateway.envoyproxy.io/owning-gateway-name": "nocode-vision"},
)


def connections(objects, sources, targets):
    """Return what is allowed between some, as (source, target, port's name)."""
    network = Network(objects)
    return {
        (source.name, target.name, name)
        for source in sources
        for target in targets
        for name, port in target.ports.items()
        if network.lets(source, target, port)
    }


def reached(objects, target, port):
    """Return who reaches something outside."""
    network = Network(objects)
    return {source.name for source in peers(objects) if network.lets(source, target, port)}


GATEWAY_TO_SERVICES = {("gateway", service, "grpc") for service in SERVICES}


def test_inside_production_only_the_gateway_calls_the_services():
    """No service calls another, and nobody calls the gateway from inside."""
    inside = peers(build("production"))

    assert {peer.name for peer in inside} == {"gateway", "worker", *SERVICES}
    # The gateway, which is open to all, may be called by its neighbours, but they cannot call out.
    assert connections(build("production"), inside, inside) == GATEWAY_TO_SERVICES


def test_inside_the_local_overlay_services_reach_the_bucket():
    inside = peers(build("local"))

    assert connections(build("local"), inside, inside) == GATEWAY_TO_SERVICES | {
        (service, "s3", "s3") for service in SERVICES
    }


def test_workers_reach_the_bucket_and_each_other():
    """NCCL takes any port, so that no port can be named."""
    objects = build("local+jobs")
    network = Network(objects)
    by_name = {peer.name: peer for peer in peers(objects)}

    assert ("worker", "s3", "s3") in connections(objects, by_name.values(), by_name.values())
    assert network.lets(by_name["worker"], by_name["worker"], 29400)
    assert network.lets(by_name["worker"], by_name["worker"], 40000)
    for other in ("gateway", *SERVICES):
        assert not network.lets(by_name[other], by_name["worker"], 29400)


@pytest.mark.parametrize("client", [STRANGER, CLIENT], ids=["another pod", "the internet"])
@pytest.mark.parametrize("name", ["local", "production"])
def test_from_outside_only_the_gateway_can_be_called(name, client):
    """By its gRPC port: neither its metrics, nor any service, nor the bucket."""
    assert connections(build(name), [client], peers(build(name))) == {
        (client.name, "gateway", "grpc")
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_task_alone_is_called_from_inside_the_cluster(service):
    """There is no gateway; who calls must have a certificate."""
    objects = build(f"only-{service}")
    (container,) = named(objects, "Deployment", service)["spec"]["template"]["spec"]["containers"]

    assert connections(objects, [STRANGER, CLIENT], peers(objects)) == {
        (STRANGER.name, service, "grpc")
    }
    assert "NOCODE_TLS_CLIENT_CA_FILE" in {variable["name"] for variable in container["env"]}


def test_prometheus_reaches_the_metrics_and_nothing_else():
    objects = build("production")
    found = connections(objects, [PROMETHEUS], peers(objects))

    # Anybody may call the gateway.
    assert found - {(PROMETHEUS.name, "gateway", "grpc")} == {
        (PROMETHEUS.name, part, "metrics") for part in ("gateway", *SERVICES)
    }


def test_a_gateway_in_front_reaches_the_services():
    objects = build("local+gateway-api")
    found = connections(objects, [FRONT], peers(objects))

    assert found == {(FRONT.name, part, "grpc") for part in ("gateway", *SERVICES)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("local", {*SERVICES}),
        ("production", {*SERVICES, "worker"}),
        ("production+oidc", {*SERVICES, "worker", "gateway"}),
        ("only-detection", {"detection", "worker"}),
    ],
)
def test_only_who_needs_it_calls_out(name, expected):
    """By HTTPS, to the bucket, to publishers of weights, or to the provider of tokens."""
    assert reached(build(name), S3, 443) == expected
    assert reached(build(name), S3, 80) == set()


@pytest.mark.parametrize("name", ALL)
def test_only_who_is_told_of_mlflow_or_a_collector_reaches_it(name):
    """The address in a setting and the way to it come and go together."""
    told = {"NOCODE_MLFLOW_TRACKING_URI": set(), "OTEL_EXPORTER_OTLP_ENDPOINT": set()}
    for pod in pods(build(name)):
        for variable in set(environment(build(name), pod.containers[0])) & set(told):
            told[variable].add(pod.labels["app.kubernetes.io/component"])
    # The gateway has no use for MLflow, of which the shared ConfigMap tells it, too.
    tracked = told["NOCODE_MLFLOW_TRACKING_URI"] - {"gateway"}

    assert reached(build(name), MLFLOW, 5000) == tracked
    assert reached(build(name), COLLECTOR, 4317) == told["OTEL_EXPORTER_OTLP_ENDPOINT"]
    everybody = {"gateway", "worker", *SERVICES}
    assert tracked == (everybody - {"gateway"} if name.endswith("+mlflow") else set())
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == (
        everybody if name.endswith("+tracing") else set()
    )


@pytest.mark.parametrize("name", ALL)
def test_nobody_reaches_the_metadata_of_the_cloud(name):
    """It hands out the credentials of the node, by HTTP."""
    assert reached(build(name), METADATA, 80) == set()


@pytest.mark.parametrize("name", ALL)
def test_everybody_resolves_names(name):
    network = Network(build(name))
    for peer in peers(build(name)):
        assert network.lets(peer, DNS, 53, "UDP")
        assert network.lets(peer, DNS, 53, "TCP")


@pytest.mark.parametrize("name", ["production", *[f"only-{service}" for service in SERVICES]])
def test_services_reach_the_api_server_with_the_launcher_alone(name):
    """At whatever address it is; a worker does not."""
    server = Peer("API server", address="10.96.0.1")
    services = {peer.name for peer in peers(build(name))} & set(SERVICES)

    assert reached(build(name), server, 6443) == services
    assert reached(build("local"), server, 6443) == set()


@pytest.mark.parametrize("name", ALL)
def test_everything_is_denied_by_default(name):
    """A pod that no other policy knows talks to nobody, and nobody to it."""
    unknown = Peer("unknown", "nocode-vision", {"app": "new"}, {"http": 8080})
    network = Network(build(name))
    others = [*peers(build(name)), STRANGER, CLIENT]

    for other in others:
        assert not network.lets(other, unknown, 8080)
    for other in others:
        for port in (other.ports or {"https": 443}).values():
            assert not network.lets(unknown, other, port)


@pytest.mark.parametrize("name", ALL)
def test_every_policy_is_for_somebody(name):
    """A policy whose labels are misspelled protects nobody."""
    everybody = peers(build(name))
    for policy in of_kind(build(name), "NetworkPolicy"):
        found = [p for p in everybody if matches(policy["spec"]["podSelector"], p.labels)]
        assert found, policy["metadata"]["name"]


@pytest.mark.parametrize("name", ALL)
def test_no_service_is_open_to_the_outside_but_the_gateway(name):
    """By a load balancer in production, and by nothing elsewhere."""
    opened = {
        made["metadata"]["name"]
        for made in of_kind(build(name), "Service")
        if made["spec"].get("type", "ClusterIP") != "ClusterIP" or made["spec"].get("externalIPs")
    }

    assert opened == ({"gateway"} if name.startswith("production") else set())
    for made in of_kind(build(name), "Service"):
        assert made["spec"].get("type") != "NodePort"
        assert {port["name"] for port in made["spec"]["ports"]} <= {"grpc", "s3", "rendezvous"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_tls_is_on_but_in_the_local_overlay(name):
    """At the gateway, and with certificates of both sides inside."""
    for deployment in of_kind(build(name), "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        variables = {variable["name"] for variable in container["env"]}
        expected = {"NOCODE_TLS_CERT_FILE", "NOCODE_TLS_KEY_FILE"} | (
            {"NOCODE_BACKEND_CA_FILE", "NOCODE_BACKEND_CERT_FILE", "NOCODE_BACKEND_KEY_FILE",
             "NOCODE_TOKENS_FILE"}
            if container["name"] == "gateway"
            else {"NOCODE_TLS_CLIENT_CA_FILE"}
        )  # fmt: skip
        assert (variables & expected) == (set() if name == "local" else expected)
