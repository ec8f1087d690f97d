"""A callback that ruins the run of one seed or another, as runs are ruined."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback


class Fault(Callback):
    """Ruin a run before its first epoch, unless the environment says CURED.

    The keys name what happens, their values to which seed. Where the environment names a GATE, runs wait for that file.
    """

    def __init__(
        self,
        seed: int,
        raises: int = -1,
        diverges: int = -1,
        killed: int = -1,
        leaves: int = -1,
        terminated: int = -1,
        leaks: int = -1,
    ) -> None:
        self.seed = seed
        self.kinds = {
            "raises": raises,
            "diverges": diverges,
            "killed": killed,
            "leaves": leaves,
            "terminated": terminated,
            "leaks": leaks,
        }

    def on_train_epoch_start(self, trainer, pl_module):
        while "GATE" in os.environ and not Path(os.environ["GATE"]).exists():
            time.sleep(0.02)
        if trainer.current_epoch or os.environ.get("CURED"):
            return
        if self.seed == self.kinds["raises"]:
            raise RuntimeError("the disk is\nfull")
        if self.seed == self.kinds["diverges"]:
            with torch.no_grad():
                next(iter(pl_module.parameters())).fill_(float("nan"))
        if self.seed == self.kinds["killed"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.seed == self.kinds["leaves"]:
            sys.exit(0)
        if self.seed == self.kinds["terminated"]:
            os.kill(os.getpid(), signal.SIGTERM)
        if self.seed == self.kinds["leaks"]:
            torch.set_default_dtype(torch.float64)
            torch.set_num_threads(3)
            torch.use_deterministic_algorithms(False)
            torch.set_float32_matmul_precision("medium")
            random.seed(0)
            os.environ["LEAKED"] = "1"
            os.chdir("/")


class Break(Callback):
    """Break an epoch in the middle."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 2 and batch_idx == 1:
            raise RuntimeError("the disk is\nfull")
