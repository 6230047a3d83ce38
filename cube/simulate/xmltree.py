"""Elements of the product annotation, with ESA's number formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

__all__ = ["Value", "counted", "double", "leaf", "node", "single", "time_text", "write_xml"]

Value = str | bool | int | float | np.datetime64


def time_text(time: np.datetime64) -> str:
    """UTC with microseconds and no zone letter, as in the products."""
    return str(time.astype("datetime64[us]"))


def double(value: float) -> str:
    """Text of a double: 15 decimals of mantissa."""
    return f"{value:.15e}"


def single(values: Iterable[float]) -> str:
    """Text of single precision numbers: 6 decimals of mantissa, separated by spaces."""
    return " ".join(f"{value:.6e}" for value in values)


def leaf(tag: str, value: Value, **attributes: str) -> ET.Element:
    """Element with a text: floats in double format, truth values in lower case."""
    element = ET.Element(tag, attributes)
    if isinstance(value, bool | np.bool_):
        element.text = "true" if value else "false"
    elif isinstance(value, float | np.floating):
        element.text = double(float(value))
    elif isinstance(value, np.datetime64):
        element.text = time_text(value)
    else:
        element.text = str(value)
    return element


def node(tag: str, children: Iterable[ET.Element] = (), /, **leaves: Value) -> ET.Element:
    """Element with `leaves` as text children, in that order, then `children`."""
    element = ET.Element(tag)
    element.extend([leaf(name, value) for name, value in leaves.items()])
    element.extend(children)
    return element


def counted(tag: str, children: Sequence[ET.Element]) -> ET.Element:
    """List element with the count attribute that the schema asks for."""
    element = ET.Element(tag, {"count": str(len(children))})
    element.extend(children)
    return element


def vector(tag: str, values: Sequence[float] | NDArray[np.floating]) -> ET.Element:
    """Counted list of single precision numbers in one text."""
    return leaf(tag, single(float(value) for value in values), count=str(len(values)))


def double_vector(tag: str, values: Sequence[float]) -> ET.Element:
    """Counted list of doubles in one text."""
    return leaf(tag, " ".join(double(value) for value in values), count=str(len(values)))


def integers(tag: str, values: Sequence[int] | NDArray[np.integer]) -> ET.Element:
    """Counted list of integers in one text."""
    return leaf(tag, " ".join(str(int(value)) for value in values), count=str(len(values)))


def write_xml(path: Path, root: ET.Element) -> bytes:
    """Write an indented document and return its bytes."""
    ET.indent(root, space="  ")
    text = '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
    content = text.encode()
    path.write_bytes(content)
    return content
