"""Computes from NetworkPolicies who may talk to whom, as Kubernetes defines it."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from tests.deploy.k8s import NAMESPACE, Object, Pod, matches, of_kind, pods


class Peer(NamedTuple):
    """One end of a connection.

    Attributes:
        name: For messages.
        namespace: Of the pod; empty for an address outside of the cluster.
        labels: Of the pod.
        ports: What the pod calls its ports.
        address: Of what is outside of the cluster.
    """

    name: str
    namespace: str = ""
    labels: dict[str, str] = {}  # noqa: RUF012 - never changed
    ports: dict[str, int] = {}  # noqa: RUF012
    address: str = ""


class Network:
    """The policies of some objects, all in one namespace."""

    def __init__(self, objects: tuple[Object, ...]) -> None:
        self._policies = [made["spec"] for made in of_kind(objects, "NetworkPolicy")]

    def lets(self, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
        """Whether both ends allow a connection."""
        return self._allows("Egress", source, target, target, port, protocol) and self._allows(
            "Ingress", target, source, target, port, protocol
        )

    def _allows(
        self, way: str, one: Peer, other: Peer, target: Peer, port: int, protocol: str
    ) -> bool:
        if one.namespace != NAMESPACE:
            return True  # it has policies of its own, or none
        selecting = [
            policy
            for policy in self._policies
            if way in policy["policyTypes"] and matches(policy["podSelector"], one.labels)
        ]
        peers, rules = ("to", "egress") if way == "Egress" else ("from", "ingress")
        return not selecting or any(
            (peers not in rule or any(_is(peer, other) for peer in rule[peers]))
            and ("ports" not in rule or any(_has(p, target, port, protocol) for p in rule["ports"]))
            for policy in selecting
            for rule in policy.get(rules, ())
        )


def peers(objects: tuple[Object, ...]) -> list[Peer]:
    """Return the pods of some objects; one worker stands for all, which are alike."""
    found = {}
    for pod in pods(objects):
        name = pod.labels.get("app.kubernetes.io/component", pod.labels["app.kubernetes.io/name"])
        found[name] = Peer(name, NAMESPACE, pod.labels, _ports(pod))
    return list(found.values())


def _ports(pod: Pod) -> dict[str, int]:
    return {
        port["name"]: port["containerPort"]
        for container in pod.containers
        for port in container.get("ports", ())
    }


def _is(peer: Object, other: Peer) -> bool:
    if "ipBlock" in peer:
        if not other.address:
            return False  # pods are to be named as pods
        address = ipaddress.ip_address(other.address)
        networks = [ipaddress.ip_network(text) for text in peer["ipBlock"].get("except", ())]
        return address in ipaddress.ip_network(peer["ipBlock"]["cidr"]) and not any(
            address in network for network in networks
        )
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        labels = {"kubernetes.io/metadata.name": other.namespace}
        if not matches(peer["namespaceSelector"], labels):
            return False
    elif other.namespace != NAMESPACE:
        return False
    return matches(peer.get("podSelector", {}), other.labels)


def _has(allowed: Object, target: Peer, port: int, protocol: str) -> bool:
    wanted = allowed["port"]
    number = target.ports.get(wanted) if isinstance(wanted, str) else wanted
    return number == port and allowed.get("protocol", "TCP") == protocol
