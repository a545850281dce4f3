"""What tests of pictures share."""

import pytest

from common.metrics import figures


@pytest.fixture
def drawn(monkeypatch):
    """The figures rendered so far."""
    made = []
    render = figures.png

    def remember(figure):
        made.append(figure)
        return render(figure)

    monkeypatch.setattr(figures, "png", remember)
    return made
