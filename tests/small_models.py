"""Small torch models and their archives."""

import contextlib
import io
import json
import warnings

import torch
from torch import nn

SIZE = (12, 10)


@contextlib.contextmanager
def quiet_jit():
    """torch 2.13 deprecates torch.jit, with which archives are written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)  # from 2.14 on
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        yield


class Smooth(nn.Module):
    """No ReLU and no max-pool: gradients without kinks, so that rounding is all that differs."""

    def __init__(self, classes=5, channels=3, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.GELU(),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 8, 3, stride=2),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, classes),
        )
        norm = self.body[2]
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.5, 2)
        for parameter in self.parameters():
            parameter.data.mul_(3)

    def forward(self, x):
        return self.body(x)


class Dense(nn.Module):
    """Rows of a batch go through matrix products, whose rounding minds how many there are."""

    def __init__(self, classes=5, channels=3, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * SIZE[0] * SIZE[1], 64),
            nn.GELU(),
            nn.Linear(64, classes),
        )

    def forward(self, x):
        return self.body(x)


def archive(module, *, metadata=None, channels=3, size=SIZE, batch=1, train=False, script=False):
    """Return the bytes of a module as a TorchScript archive."""
    module = module.train(train)
    extra = {} if metadata is None else {"intgrad.json": json.dumps(metadata)}
    buffer = io.BytesIO()
    with quiet_jit(), torch.no_grad():
        if script:
            scripted = torch.jit.script(module)
        else:
            example = torch.zeros(batch, channels, *size)
            scripted = torch.jit.trace(module, example, check_trace=False)
        torch.jit.save(scripted, buffer, _extra_files=extra)
    return buffer.getvalue()


FACTS = {"preprocess": (1 / 127.5, -1.0), "input_size": SIZE, "scores": "logits"}
METADATA = {"format": 1, "input_size": list(SIZE), "scores": "logits", "labels": list("abcde")}
