"""Networks with their weights, loaded once per process and content; nothing is unpickled."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save_file

from cube.cards import Branch, Card, Normaliser
from cube.catalog import load_model
from cube.errors import CatalogError
from cube.infer.networks import UNet, build

__all__ = [
    "Precision",
    "arithmetic",
    "check",
    "has_bfloat16",
    "join",
    "keep",
    "memory_format",
    "network_of",
    "open_networks",
    "save",
]

Precision = Literal["float32", "bfloat16"]
_SHOWN = 3
_PROBE = 128
AGREEMENT = 0.02
"""Largest difference in probability that bfloat16 may make on a probe; measured ones are .007."""

log = logging.getLogger(__name__)
_settings = threading.RLock()
"""Held while settings of the process are others; a network may be opened within."""


def network_of(branch: Branch, normaliser: Normaliser) -> UNet:
    """Network of a branch with weights that are random."""
    outputs = len(branch.classes) * (2 if branch.head == "heteroscedastic" else 1)
    sizes = branch.network
    inputs = len(branch.inputs) * normaliser.channels
    return build(sizes.name, inputs, outputs, sizes.widths, sizes.patch, sizes.dropout)


def check(
    card: Card,
    normalisers: Sequence[Normaliser],
    weights: Mapping[str, torch.Tensor],
    where: str,
) -> None:
    """Compare keys and shapes with those of the card's networks.

    Raises
    ------
    CatalogError
        Naming the keys that are missing, of another shape, or of no network.
    """
    wanted = {
        f"{branch.name}.{key}": tuple(value.shape)
        for branch, normaliser in zip(card.branches, normalisers, strict=True)
        for key, value in network_of(branch, normaliser).state_dict().items()
    }
    given = {key: tuple(value.shape) for key, value in weights.items()}
    wrong = sorted(key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key))
    if wrong:
        shown = "; ".join(
            f"{key} is {given.get(key, 'missing')}, expected {wanted.get(key, 'none')}"
            for key in wrong[:_SHOWN]
        )
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise CatalogError(f"{where}: weights of another network than {card.name} ({shown}{more})")


def save(networks: Mapping[str, torch.nn.Module], path: Path) -> None:
    """Write the weights of branches in half precision.

    Statistics of normalisation keep float32: their squares leave the range of half precision.
    """
    tensors = {}
    for name, network in networks.items():
        for key, value in network.state_dict().items():
            small = value.dtype.is_floating_point and "running_" not in key
            tensors[f"{name}.{key}"] = (value.half() if small else value).cpu().contiguous()
    save_file(tensors, path)


def join(parts: Sequence[Path], path: Path) -> str:
    """Write the weights of several files as one; returns its sha256."""
    return keep({key: value for part in parts for key, value in load_file(part).items()}, path)


def keep(weights: Mapping[str, torch.Tensor], path: Path) -> str:
    """Write weights as they are; returns the sha256 of the file."""
    save_file(dict(weights), path)
    path.chmod(0o644)  # safetensors leaves it to its owner alone
    return hashlib.sha256(path.read_bytes()).hexdigest()


def has_bfloat16(device: str) -> bool:
    """Whether a GPU computes in bfloat16 itself, or oneDNN has code for it on this processor.

    Elsewhere it is emulated: a step of training took ten times as long as in float32 on a processor
    without AVX-512. With AVX-512 alone oneDNN computes in float32 what it reads as bfloat16.
    """
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def memory_format(device: str, precision: Precision) -> torch.memory_format:
    """Order of samples that convolutions are fastest in.

    On a GPU those of float32 have their algorithms of few products (Winograd) with whole planes
    alone, those of bfloat16 their matrix units with channels last.
    """
    if torch.device(device).type == "cuda" and precision == "float32":
        return torch.contiguous_format
    return torch.channels_last


@contextmanager
def arithmetic(device: str, *, repeated: bool = False) -> Iterator[None]:
    """Convolutions within round as the precision says, on a GPU too.

    torch lets cuDNN round the factors of float32 to 11 bits (TF32) unless told otherwise, which is
    hundreds of times what another order of the sums changes: float32 is float32 here, and who wants
    speed has bfloat16, which is checked. Settings are of the process: one thread at a time.

    Parameters
    ----------
    device : str
    repeated : bool
        Whether inputs of one shape come again and again: cuDNN then tries all of its algorithms on
        them first, which takes as long as tens of tiles. They differ in the order of sums.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    backend = torch.backends.cudnn
    # torch 2.9 has a setting for each operator, and refuses to read the older one beside it
    holder, name, exact = (
        (backend.conv, "fp32_precision", "ieee")
        if hasattr(backend, "conv")
        else (backend, "allow_tf32", False)
    )
    with _settings:
        before, tried = getattr(holder, name), backend.benchmark
        setattr(holder, name, exact)
        backend.benchmark = repeated
        try:
            yield
        finally:
            setattr(holder, name, before)
            backend.benchmark = tried


@lru_cache(maxsize=4)
def open_networks(where: str, sha256: str, device: str, precision: Precision) -> dict[str, UNet]:
    """Networks of a model by branch, ready to predict; loaded once per process, content and device.

    Parameters
    ----------
    where : str
        Id in the catalog or folder of the model.
    sha256 : str
        Of the weights, as the card says: another file is refused.
    device : str
        As torch names it.
    precision : str
        ``bfloat16`` is taken back with a warning where the device would emulate it, or where it
        disagrees with float32 on a probe.

    Raises
    ------
    CatalogError
        Weights missing, truncated, of another content than the card's, or of another network.
    """
    if precision == "bfloat16" and not has_bfloat16(device):
        log.warning("%s: has no bfloat16, emulates it slowly; float32 is used", device)
        return open_networks(where, sha256, device, "float32")
    model = load_model(where)
    try:
        content = model.weights.read_bytes()
    except OSError as error:
        raise CatalogError(f"{model.weights}: cannot read ({error.strerror})") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CatalogError(
            f"{model.weights}: sha256 {found[:12]}…, the card says {sha256[:12]}…; weights and card"
            " do not belong together, or a download is incomplete"
        )
    try:
        weights = load(content)
    except SafetensorError as error:
        raise CatalogError(f"{model.weights}: not a readable safetensors file ({error})") from error
    check(model.card, model.normalisers, weights, str(model.weights))
    ready = {}
    for branch, normaliser in zip(model.card.branches, model.normalisers, strict=True):
        network, head = network_of(branch, normaliser), f"{branch.name}."
        network.load_state_dict(
            {
                key.removeprefix(head): value
                for key, value in weights.items()
                if key.startswith(head)
            }
        )
        network = network.fuse().to(device)
        shape = memory_format(device, precision)
        network.to(memory_format=shape)  # type: ignore[call-overload]
        if precision == "bfloat16" and not _agrees(network, device):
            log.warning(
                "%s: bfloat16 changes probabilities by more than %g here; float32 is used",
                model.card.name,
                AGREEMENT,
            )
            return open_networks(where, sha256, device, "float32")
        ready[branch.name] = network.bfloat16() if precision == "bfloat16" else network
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)  # networks run on another stream than this
    return ready


def _agrees(network: UNet, device: str) -> bool:
    """Whether bfloat16 gives the probabilities of float32 on a probe of random channels."""
    generator = torch.Generator().manual_seed(0)
    inputs = network.inputs
    probe = torch.randn(1, inputs, _PROBE, _PROBE, generator=generator).to(device)
    with torch.inference_mode(), arithmetic(device):
        exact = network(probe)
        rough = deepcopy(network).bfloat16()(probe.bfloat16()).float()
    return bool((torch.sigmoid(exact) - torch.sigmoid(rough)).abs().max() <= AGREEMENT)
