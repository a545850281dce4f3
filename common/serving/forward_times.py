"""How long a network takes, learned from every batch."""

from __future__ import annotations

_KEPT = 0.7
"""Of the weight of what was seen before, at each new batch."""


class ForwardTimes:
    """A line through the times of recent batches: a fixed part and a part for each image.

    Neither part is less than nothing, so that sizes not seen for long follow those seen now.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        # Weighted means and (co)variances, by West's update (Comm. ACM 22(9), 1979).
        self._size = 0.0
        self._seconds = 0.0
        self._size_variance = 0.0
        self._covariance = 0.0

    def note(self, size: int, seconds: float) -> None:
        """Note how long a batch took."""
        old_weight = self._weight * _KEPT
        self._weight = old_weight + 1
        size_off, seconds_off = size - self._size, seconds - self._seconds
        self._size += size_off / self._weight
        self._seconds += seconds_off / self._weight
        kept = old_weight / self._weight
        self._size_variance = kept * (self._size_variance + size_off**2 / self._weight)
        self._covariance = kept * (self._covariance + size_off * seconds_off / self._weight)

    def expected(self, size: int) -> float:
        """Return how long a batch will probably take; 0 as long as nothing is known."""
        if not self._weight:
            return 0.0
        most = self._seconds / self._size
        if self._size_variance > 1e-9:
            slope = min(max(self._covariance / self._size_variance, 0.0), most)
        else:
            slope = most
        return self._seconds + slope * (size - self._size)
