"""One of several processes that train the same network; prints what it has in the end.

torchrun … --module tests.common.training.together FOLDER [LIMIT]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from common.training import distributed
from common.training.checkpoints import save_weights
from tests.common.training import made
from tests.common.training.test_parts import Limited


def main(folder: str, limit: str = "1000") -> None:
    """Train."""
    torch.set_num_threads(1)
    with distributed.join("cpu") as ranks:
        model = Limited(made.plain_network(), int(limit))
        if not ranks.first:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.zero_()  # the first one's count
        recorder = made.Recorder()
        fitted = made.trainer(made.training(), model, ranks, reporter=recorder).fit()
        (Path(folder) / f"{ranks.rank}.json").write_text(
            json.dumps(
                {
                    "digest": made.digest(fitted.weights),
                    "metrics": fitted.metrics,
                    "reports": len(recorder.reports),
                    "sizes": model.sizes,
                    "history": recorder.history,
                }
            )
        )
        if ranks.first:
            save_weights(fitted.weights, Path(folder) / "weights")


if __name__ == "__main__":
    main(*sys.argv[1:])
