"""Models of the catalog looked at, and foreign checkpoints made into models."""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from pathlib import Path

from pydantic import ValidationError

from cube.cards import Card, write_card
from cube.catalog import Model, load_model, normalisers_of
from cube.errors import CatalogError, PlanError
from cube.infer.convert import read_checkpoint
from cube.infer.weights import check, keep, open_networks

__all__ = ["check_weights", "convert"]


def check_weights(model: Model) -> None:
    """Load the weights of a model once.

    Raises
    ------
    CatalogError
        They are missing, of another content than the card's, or of another network.
    """
    open_networks(model.where, model.card.sha256, "cpu", "float32")


def convert(
    checkpoint: str | Path,
    card: str | Path,
    out: str | Path,
    *,
    strip: str = "",
    trust_pickle: bool = False,
) -> Card:
    """Make a model of a checkpoint.

    Parameters
    ----------
    checkpoint : str or Path
        safetensors, or what torch.save wrote: weights by key, perhaps below ``state_dict``.
    card : str or Path
        TOML of the card without ``sha256``.
    out : str or Path
        New folder, named as the card's id.
    strip : str
        Prefix of all keys, taken off.
    trust_pickle : bool
        Whether code in the file may run, as whole modules need.

    Returns
    -------
    Card

    Raises
    ------
    CatalogError, PlanError
        A file that cannot be read, a pickle that is not trusted, or weights of another network:
        nothing is written.
    """
    target = Path(out)
    if target.exists():
        raise PlanError(f"{out}: is there already; choose another folder, or remove it")
    described = _described(Path(card))
    if described.id != target.name:
        raise PlanError(f"{out}: the card's id is {described.id!r}; name the folder after it")
    weights = read_checkpoint(Path(checkpoint), strip=strip, trust_pickle=trust_pickle)
    if len(described.branches) == 1:
        head = f"{described.branches[0].name}."
        weights = {
            key if key.startswith(head) else head + key: value for key, value in weights.items()
        }
    check(described, normalisers_of(described, target.absolute()), weights, str(checkpoint))
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        whole = described.model_copy(update={"sha256": keep(weights, aside / "model.safetensors")})
        write_card(whole, aside / "card.toml")
        load_model(str(aside))
        aside.chmod(0o755)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return whole


def _described(path: Path) -> Card:
    """Card of a file that does not know the weights yet."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return Card.model_validate({**values, "sha256": "0" * 64})
    except OSError as error:
        raise CatalogError(f"{path}: cannot read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: not valid TOML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the card"
        raise CatalogError(f"{path}: {key}: {first['msg']}") from error
