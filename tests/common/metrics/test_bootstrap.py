"""The bootstrap, against a slow one and against what an interval promises."""

import numpy as np
import pytest

from common.metrics import bootstrap
from common.metrics.bootstrap import percentile_intervals
from common.metrics.classification import classification_metrics


def share_of_hits(counts_RK):
    """Two kinds of image: missed and hit."""
    return {"accuracy": counts_RK[:, 1] / counts_RK.sum(axis=1)}


def test_equals_resampling_images_one_by_one():
    """Accuracy, macro F1 and top-3: the same ends as by drawing images and calling scikit-learn."""
    from sklearn.metrics import accuracy_score, f1_score

    rng = np.random.default_rng(1)
    labels = rng.choice(5, 120, p=[0.4, 0.3, 0.2, 0.08, 0.02])
    probabilities = rng.dirichlet(np.ones(5), 120)
    probabilities[np.arange(120), labels] += rng.random(120)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    in_top_3 = (np.argsort(-probabilities, axis=1)[:, :3] == labels[:, None]).any(axis=1)
    slow = {"accuracy": [], "macro.f1": [], "top_k.3": []}
    for _ in range(500):
        drawn = rng.integers(0, 120, 120)
        slow["accuracy"].append(accuracy_score(labels[drawn], predicted[drawn]))
        slow["macro.f1"].append(f1_score(labels[drawn], predicted[drawn], average="macro"))
        slow["top_k.3"].append(in_top_3[drawn].mean())

    fast = classification_metrics(
        labels, probabilities, list("abcde"), resample_count=20_000
    ).confidence_intervals

    for name, values in slow.items():
        expected = np.quantile(values, [0.025, 0.975])
        # 500 draws leave about this much noise in the ends
        assert [fast[name].low, fast[name].high] == pytest.approx(expected, abs=0.025), name


def test_an_interval_covers_the_truth_as_often_as_it_says():
    """95 %, over 400 samples of 200 images with a true accuracy of 0.8."""
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(400):
        hits = rng.binomial(200, 0.8)
        low, high = percentile_intervals(
            np.array([200 - hits, hits]), share_of_hits, seed=seed, resample_count=400
        )["accuracy"]
        covered += low <= 0.8 <= high

    assert 0.91 <= covered / 400 <= 0.98


def test_the_same_seed_gives_the_same_interval(monkeypatch):
    """However many resamples fit in a block of memory; another seed gives another one."""
    counts = np.array([31, 69])
    first = percentile_intervals(counts, share_of_hits, seed=3)

    monkeypatch.setattr(bootstrap, "_BLOCK_SIZE", 64)

    assert percentile_intervals(counts, share_of_hits, seed=3) == first
    seeds = [
        percentile_intervals(counts, share_of_hits, seed=s, resample_count=30) for s in range(5)
    ]
    assert any(other != seeds[0] for other in seeds)


def test_an_interval_of_certainty_is_a_point():
    assert percentile_intervals(np.array([0, 9]), share_of_hits, seed=0) == {"accuracy": (1.0, 1.0)}


def test_an_interval_moves_to_where_its_median_was_measured():
    """Here resamples are 0.1 too high; and no interval leaves [0, 1]."""
    counts = np.array([40, 60])
    plain = percentile_intervals(counts, share_of_hits, seed=1)["accuracy"]

    def too_high(counts_RK):
        return {"accuracy": share_of_hits(counts_RK)["accuracy"] + 0.1}

    moved = percentile_intervals(counts, too_high, seed=1, measured={"accuracy": 0.6})["accuracy"]

    assert moved == pytest.approx(plain, abs=0.011)
    for extreme in (0.0, 1.0):
        low, high = percentile_intervals(counts, too_high, seed=1, measured={"accuracy": extreme})[
            "accuracy"
        ]
        assert 0 <= low <= extreme <= high <= 1
        assert high - low > 0.05


def test_nothing_cannot_be_resampled():
    with pytest.raises(ValueError, match="no image"):
        percentile_intervals(np.array([0, 0]), share_of_hits, seed=0)
