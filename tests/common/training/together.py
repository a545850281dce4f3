"""One of several processes that train the same network; prints what it has in the end.

torchrun … --module tests.common.training.together FOLDER [LIMIT] [IMAGES] [NETWORK]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import distributed as dist
from torch import nn

from common.training import distributed
from common.training.checkpoints import save_weights
from common.training.rank import _end_with_parent
from tests.common.training import made
from tests.common.training.test_parts import Limited


class GlooBatchNorm(nn.SyncBatchNorm):
    """Normalizes as torch does on GPUs, with the images of all processes of its group."""

    def forward(self, images):
        """Exchange sums, counts and sums of squares; of those, no gradient is passed back."""
        if not self.training or (group := self.process_group or dist.group.WORLD).size() == 1:
            return nn.functional.batch_norm(
                images,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                self.training,
                self.momentum,
                self.eps,
            )
        count = torch.full((images.shape[1],), float(images[:, 0].numel()))
        with torch.no_grad():
            sums_3C = torch.stack([images.sum((0, 2, 3)), images.square().sum((0, 2, 3)), count])
        dist.all_reduce(sums_3C, group=group)
        mean_C = sums_3C[0] / sums_3C[2]
        var_C = sums_3C[1] / sums_3C[2] - mean_C.square()
        return nn.functional.batch_norm(
            images, mean_C, var_C, self.weight, self.bias, training=False, eps=self.eps
        )


def normalized_network() -> nn.Module:
    """The plain network, with a normalization that processes have in common."""
    convolution, *rest = made.plain_network()
    return nn.Sequential(convolution, GlooBatchNorm(8), *rest)


# It would refuse such a network on a CPU, though all it does for it on a GPU is to agree.
nn.parallel.DistributedDataParallel._passing_sync_batchnorm_handle = lambda *_: None


def main(folder: str, limit: str = "1000", images: str = "20", network: str = "plain") -> None:
    """Train."""
    _end_with_parent()  # a test that has waited for too long kills torchrun alone
    torch.set_num_threads(1)
    with distributed.join("cpu") as ranks:
        plain = made.plain_network() if network == "plain" else normalized_network()
        model = Limited(plain, int(limit))
        if not ranks.first:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.zero_()  # the first one's count
        recorder = made.Recorder()
        training = made.training(train=made.subset(int(images)))
        fitted = made.trainer(training, model, ranks, reporter=recorder).fit()
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
