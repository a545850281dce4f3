"""What prediction shows to Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class PredictMetrics:
    """The figures of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.queue_seconds = Histogram(
            "nocode_vision_predict_queue_seconds",
            "Time that a decoded image waits for its model.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.decode_seconds = Histogram(
            "nocode_vision_predict_decode_seconds",
            "Time to decode and resize an image.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.forward_seconds = Histogram(
            "nocode_vision_predict_forward_seconds",
            "Time of the network for a batch.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "nocode_vision_predict_batch_size",
            "Images in a batch.",
            buckets=_IMAGES,
            registry=registry,
        )
        self.waiting = Gauge(
            "nocode_vision_predict_waiting_images",
            "Images that were taken in and are not yet with the network.",
            registry=registry,
        )
        self._rejected = Counter(
            "nocode_vision_predict_rejected_images_total",
            "Images not computed: queue_full, too_late (it would have missed its deadline), "
            "cancelled, or undecodable.",
            ("reason",),
            registry=registry,
        )
        self.queue_full = self._rejected.labels("queue_full")
        self.too_late = self._rejected.labels("too_late")
        self.cancelled = self._rejected.labels("cancelled")
        self.undecodable = self._rejected.labels("undecodable")
        self.models_loaded = Gauge(
            "nocode_vision_models_loaded", "Models in memory.", registry=registry
        )
        self.model_bytes = Gauge(
            "nocode_vision_models_loaded_bytes",
            "Memory that their weights take.",
            registry=registry,
        )
        self._loads = Counter(
            "nocode_vision_model_loads_total", "Loads of a model.", ("result",), registry=registry
        )
        self.loads_succeeded = self._loads.labels("success")
        self.loads_failed = self._loads.labels("failure")
        self.evictions = Counter(
            "nocode_vision_model_evictions_total",
            "Models that made room for another.",
            registry=registry,
        )
        self.load_seconds = Histogram(
            "nocode_vision_model_load_seconds",
            "Time to load a model.",
            buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
            registry=registry,
        )
