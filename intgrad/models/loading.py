"""Loading: from every form of source to a Model that has been tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from .. import _core
from ..images.arrays import check_size
from .facts import check_kind, check_labels
from .model import BACKENDS, OUTPUTS, Backend, Model, Output, Precision
from .torch.backend import is_archive, is_module, is_program
from .wanted import Wanted


def load_model(
    source: Any,
    *,
    device: Any = None,
    preprocess: Any = None,
    labels: Sequence[str] | None = None,
    input_size: tuple[int, int] | None = None,
    scores: Literal["logits", "probabilities"] | None = None,
    output: Output | None = None,
    precision: Precision = "ieee",
    sha256: str | None = None,
    channels: int | None = None,
    multilabel: bool | None = None,
    backend: Backend | None = None,
    score: Callable[[Any], Any] | None = None,
) -> Model:
    """Load a classifier and check that it can be explained.

    A TorchScript archive is code, and so is a `.pt2`: load only what you trust, or pin it with
    `sha256`.

    Parameters
    ----------
    source : path, bytes, torch.nn.Module, ScriptModule, torch.export.ExportedProgram or callable
        A TorchScript archive, or a `.pt2` of `torch.export.save`, with input NCHW and output
        (n, K), or with one tensor of scores, or `logits`, in a dict, dataclass, tuple or list; or
        such a program or module, of which a copy is explained, a module's in evaluation mode (one
        that cannot be copied is used itself, and must be in that mode). A program that was exported
        for a batch of one picture is given one at a time, and one for a larger batch is refused.
        What makes a model quicker, as batch norms folded into convolutions, is used where it gives
        the scores and the gradient of the model as it is. Or a callable
        `f(batch, targets) -> (scores (n, K), gradients of scores[i, targets[i]] (n, H, W, C))`
        on (n, H, W, C) float32 pixels and (n,) int64 classes; one that has a true attribute
        `takes_many_targets` gets (n, T) classes and returns gradients (n, T, H, W, C), so that the
        targets of a picture share its forward pass; T is 0 where only scores are wanted.
    device : str, torch.device or list of them, optional
        `"cpu"`, `"cuda"` or `"cuda:1"`; CUDA if there is one, else the CPU, if None. Several, as
        `["cuda:0", "cuda:1"]`, get a copy of the model each and share the images of a batch.
    preprocess : {"xception", "imagenet", "none"}, (scale, offset), dict, path or object, optional
        What turns pixels 0..255 into what the model was trained on: x / 127.5 - 1; (x / 255 -
        mean) / std with ImageNet's; nothing; x * scale + offset, or `{"mean": m, "std": s}` in
        units of 0..1. Numbers, or one per channel. Needed unless the archive says so itself
        (`save_model` and `intgrad convert` write such archives).

        What also says how photographs become pictures of the right size makes
        `Model.load_image` do that, and `input_size` unnecessary: a timm data config
        (`timm.data.resolve_model_data_config(model)` or `model.pretrained_cfg`); torchvision's
        `weights.transforms()`, or a `Compose` of the deterministic steps; a transformers image
        processor, its `to_dict()`, or the path or text of its `preprocessor_config.json`; or a dict
        of what of these is needed (a path or text of JSON as well): `resize_size`, `resize_mode`,
        `crop_size`, `interpolation`, `antialias`, `dtype`, `fill`, `centering` (as in
        `Model.transform`), `rescale_factor` (1 / 255), then `mean` (0) and `std` (1),
        `channel_order` ("RGB" or "BGR": that of the network, of `mean` and of `std`; pictures are
        RGB always) and `channels`.
    labels : sequence of str, optional
        Names of the K classes; default: the archive's own, if it has any.
    input_size : (int, int), optional
        Height and width; needed unless the archive or `preprocess` says so. A callable may do
        without.
    scores : {"logits", "probabilities"}, optional
        What the model returns; needed unless the archive says so itself.
    output : {"softmax", "log_softmax", "logit", "sigmoid"}, optional
        For a callable only, and needed there, unless the callable says so in an attribute
        `output`, as those of `intgrad.adapters` do: which output it returns and differentiates.
    precision : {"ieee", "tf32", "bfloat16"}
        "ieee" is float32 throughout. "bfloat16" made an Xception's attributions 31 % off, which
        fewer steps in float32 beat. A CPU that has instructions for it took 0.62 times as long,
        one that has none 92 times (`benchmarks/exactness.py`). "tf32" needs CUDA: products of
        float32 with 10-bit mantissas. Torch's switches for it are those of the whole process. While
        a CUDA model runs they are set as it needs them, "ieee" or not, and afterwards they are what
        they were; other threads that use torch see them change, and models that need them
        otherwise wait.
    sha256 : str, optional
        Hex digest that the archive must have.
    channels : int, optional
        Channels of a picture, where the model runs on several numbers of them; found if None.
    multilabel : bool, optional
        Whether the classes are independent labels, each with a probability of its own: the sigmoid
        of its logit. If None they are where there is one logit, and where probabilities do not add
        up to 1.
    backend : {"libtorch", "autograd"}, optional
        What runs a model of torch. "libtorch" is C++ over TorchScript, built for one version of
        torch; a module is traced for it. "autograd" is Python's torch, of any version from 2.4 on.
        If None, archives take the first where it is there and gives what they give themselves,
        else the second, and modules the second. `Model.backend` says which it is.
    score : callable, optional
        What is explained, where that is no class: it takes what the module returns for n images
        and returns a tensor of n numbers, such as `lambda y: y.softmax(1)[:, 15].mean((1, 2))`,
        the area of a segmentation's class 15, `lambda y: y[:, 3] - y[:, 5]`, a margin, or a
        similarity of embeddings; or (n, K) of K such. Explained as it is, whatever `output=` a
        logit would have; its `__name__` is `info.label`. Then `scores` is not needed.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError
        If there is no such archive.
    ModelError
        If the archive is damaged, neither TorchScript nor a `.pt2`, or of another torch that this
        one cannot read; if a program takes something else than a batch of pictures of that size; or
        if the probe, which runs two random images together and alone, finds a model that is still
        in training mode, mixes the images of a batch, changes its input, has no gradient or returns
        the wrong shape.
    BackendError
        If torch is missing, or `backend="libtorch"` was not built for the one that is there.
    TypeError, ValueError
        If an argument is unknown, missing, or contradicts another.
    """
    names = None if labels is None else check_labels(labels)
    size = None if input_size is None else check_size(input_size, "input_size")
    if scores is not None:
        check_kind(scores)
    if precision not in ("ieee", "tf32", "bfloat16"):
        raise ValueError(f"precision must be 'ieee', 'tf32' or 'bfloat16', got {precision!r}")
    if backend not in (None, *BACKENDS[:2]):
        raise ValueError(f"backend must be 'libtorch', 'autograd' or None, got {backend!r}")
    _check_not_foreign(source)
    wanted = Wanted(
        device=device,
        preprocess=preprocess,
        labels=names,
        input_size=size,
        scores=scores,
        sha256=sha256,
        precision=precision,
        channels=channels,
        multilabel=multilabel,
        backend=backend,
        score=score,
    )
    if not is_archive(source) and not is_module(source) and not is_program(source):
        return _wrap_callable(source, wanted, output)
    if output is not None:
        raise ValueError(
            f"output={output!r} is for callables; for this model give it to integrated_gradients"
        )
    from .torch.opening import open_model  # all that torch needs, and callables do not

    return open_model(source, wanted)


def _check_not_foreign(source: Any) -> None:
    """Refuse what would pass for a module or a callable: classes and Keras models."""
    if isinstance(source, type):
        raise TypeError(f"source is a class, {source.__name__}: pass an instance of it")
    if any(kind.__module__.partition(".")[0] == "keras" for kind in type(source).__mro__):
        raise TypeError(
            f"source is a Keras model, {type(source).__name__}:"
            " load_model(intgrad.adapters.from_keras(network, scores=..., output=...),"
            " input_size=...) explains it"
        )


def _wrap_callable(source: Any, wanted: Wanted, output: Output | None) -> Model:
    if not callable(source):
        raise TypeError(
            "source must be a path, bytes, a torch module, an exported program or a callable, got"
            f" {type(source).__name__}"
        )
    given = wanted.only_of_torch()
    if given:
        raise ValueError(
            f"{', '.join(given)} cannot be given with a callable, which takes pixels and returns"
            " scores and gradients; of a torch function, intgrad.adapters.from_torch makes one"
        )
    own = getattr(source, "output", None)
    if own in OUTPUTS and output not in (None, own):
        raise ValueError(f"output={output!r} was given, and the callable says output={own!r}")
    output = own if own in OUTPUTS else output
    if output not in OUTPUTS:
        raise ValueError(
            "a callable must say what it returns and differentiates:"
            f" output= one of {', '.join(OUTPUTS)}, got {output!r}"
        )
    return Model(
        [_core.callable_model(source, False, bool(getattr(source, "takes_many_targets", False)))],
        device="callable",
        input_size=wanted.input_size,
        channels=None,
        labels=wanted.labels,
        num_classes=None,
        precision="ieee",
        scores="probabilities" if output == "softmax" else "logits",
        multilabel=output == "sigmoid",
        callable_output=output,
        backend="callable",
    )
