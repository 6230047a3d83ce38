"""Speckle filters in plain Python, one pixel at a time: nothing here imports what it judges.

Where a filter chooses (a range, a side of an edge), the reference also says which pixels are sure:
those whose choices no rounding of float32 can turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

CLOSE = 1e-5  # of the largest power in the window: some roundings of float32, 6e-8 each


def window(image: np.ndarray, y: int, x: int, half: int) -> Iterator[tuple[int, int, float]]:
    """Offsets and values of the valid samples around a pixel."""
    for j in range(max(0, y - half), min(image.shape[0], y + half + 1)):
        for i in range(max(0, x - half), min(image.shape[1], x + half + 1)):
            if not math.isnan(image[j, i]):
                yield j - y, i - x, float(image[j, i])


def values(image: np.ndarray, y: int, x: int, half: int) -> list[float]:
    return [value for _, _, value in window(image, y, x, half)]


def pixels(image: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """The valid pixels in order."""
    for y, x in np.ndindex(image.shape):
        if not math.isnan(image[y, x]):
            yield y, x, float(image[y, x])


def scale(image: np.ndarray, half: int) -> np.ndarray:
    """Largest magnitude in the window: what rounding errors are measured by."""
    out = np.zeros(image.shape)
    for y, x, _ in pixels(image):
        out[y, x] = max(map(abs, values(image, y, x, half)))
    return out


def mean(samples: list[float]) -> float:
    return math.fsum(samples) / len(samples)


def mmse(value: float, samples: list[float], noise: float) -> float:
    """Linear estimate of least mean square error; `noise` is the variance of speckle of mean 1."""
    centre = mean(samples)
    if len(samples) == 1:
        return centre
    variance = math.fsum((one - centre) ** 2 for one in samples) / (len(samples) - 1)
    if variance == 0:
        return centre
    signal = max(0.0, (variance - centre**2 * noise) / (1 + noise))
    share = signal / variance
    return (1 - share) * centre + share * value


def boxcar(image: np.ndarray, size: int) -> np.ndarray:
    out = np.full(image.shape, np.nan)
    for y, x, _ in pixels(image):
        out[y, x] = mean(values(image, y, x, size // 2))
    return out


def lee(image: np.ndarray, size: int, looks: float) -> np.ndarray:
    out = np.full(image.shape, np.nan)
    for y, x, value in pixels(image):
        out[y, x] = mmse(value, values(image, y, x, size // 2), 1 / looks)
    return out


def quegan(stack: np.ndarray, size: int) -> np.ndarray:
    local = np.stack([boxcar(image, size) for image in stack])
    out = np.full(stack.shape, np.nan)
    for y, x in np.ndindex(stack.shape[1:]):
        ratios = [
            float(stack[k, y, x]) / float(local[k, y, x])
            for k in range(len(stack))
            if local[k, y, x] > 0
        ]
        share = mean(ratios) if ratios else 1.0
        for k in range(len(stack)):
            out[k, y, x] = local[k, y, x] * share
    return out


DIRECTIONS = (
    # three sub-windows, the opposite three, and which offsets (y, x) lie on the side of the first
    (((-1, -1), (0, -1), (1, -1)), ((-1, 1), (0, 1), (1, 1)), lambda y, x: x <= 0),
    (((-1, -1), (-1, 0), (-1, 1)), ((1, -1), (1, 0), (1, 1)), lambda y, x: y <= 0),
    (((-1, 0), (-1, -1), (0, -1)), ((1, 0), (1, 1), (0, 1)), lambda y, x: x + y <= 0),
    (((-1, 0), (-1, 1), (0, 1)), ((1, 0), (1, -1), (0, -1)), lambda y, x: y - x <= 0),
)


def refined_lee(image: np.ndarray, looks: float) -> tuple[np.ndarray, np.ndarray]:
    """Filtered image, and which pixels are sure."""
    out = np.full(image.shape, np.nan)
    sure = np.ones(image.shape, bool)
    for y, x, value in pixels(image):
        around = list(window(image, y, x, 3))
        centre = mean([v for j, i, v in around if abs(j) <= 1 and abs(i) <= 1])
        parts = {}
        for row in (-1, 0, 1):
            for column in (-1, 0, 1):
                near = [
                    v for j, i, v in around if abs(j - 2 * row) <= 1 and abs(i - 2 * column) <= 1
                ]
                parts[row, column] = mean(near) if near else centre
        edges = [
            abs(math.fsum(parts[at] for at in one) - math.fsum(parts[at] for at in two))
            for one, two, _ in DIRECTIONS
        ]
        best = edges.index(max(edges))
        one, two, is_first = DIRECTIONS[best]
        first, second = abs(parts[one[1]] - centre), abs(parts[two[1]] - centre)
        sides = [v for j, i, v in around if is_first(j, i)]
        if first > second:
            sides = [v for j, i, v in around if is_first(-j, -i)]
        out[y, x] = mmse(value, sides, 1 / looks)
        near = CLOSE * max(abs(v) for _, _, v in around)
        rivals = sorted(edges)[-2:]
        sure[y, x] = rivals[1] - rivals[0] > near and abs(first - second) > near
    return out, sure


def point_targets(image: np.ndarray, limit: float, half: int) -> np.ndarray:
    """Targets whatever the order of pixels."""
    out = np.zeros(image.shape, bool)
    for y, x, value in pixels(image):
        if value > limit:
            out[y, x] = any(
                image[y + j, x + i] > limit
                and sum(v > limit for v in values(image, y + j, x + i, half)) > 5
                for j, i, _ in window(image, y, x, half)
            )
    return out


def targets_in_order(image: np.ndarray, limit: float) -> np.ndarray:
    """Pixels kept by a raster scan that marks as it goes and does not test what is marked."""
    marked, kept = np.zeros(image.shape, bool), np.zeros(image.shape, bool)
    for y, x, value in pixels(image):
        bright = [(y + j, x + i) for j, i, v in window(image, y, x, 1) if v > limit]
        if not marked[y, x] and value > limit and len(bright) > 5:
            for at in bright:
                marked[at] = True
        kept[y, x] = marked[y, x]
    return kept


def lee_sigma(
    image: np.ndarray,
    limit: float,
    looks: float,
    bounds: tuple[float, float, float],
    size: int,
    target: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Filtered image, and which pixels are sure; `bounds` are lower, upper and spread."""
    out = np.full(image.shape, np.nan)
    sure = np.ones(image.shape, bool)
    lower, upper, spread = bounds
    targets = point_targets(image, limit, target // 2)
    for y, x, value in pixels(image):
        out[y, x] = value
        if targets[y, x]:
            continue
        near = values(image, y, x, target // 2)
        prior = mmse(value, near, 1 / looks)
        around = values(image, y, x, size // 2)
        within = [v for v in around if lower * prior <= v <= upper * prior]
        if within:
            out[y, x] = mmse(value, within, spread**2)
        margin = CLOSE * max(map(abs, near))
        sure[y, x] = all(
            abs(v - edge * prior) > margin or v == prior == 0
            for v in around
            for edge in (lower, upper)
        )
    return out, sure


def percentile(samples: list[float]) -> float:
    """98th percentile of valid samples: sorted, at index int(0.98 n) - 1."""
    ordered = sorted(one for one in samples if not math.isnan(one))
    return ordered[max(int(0.98 * len(ordered)) - 1, 0)] if ordered else math.nan


def speckled(rng: np.random.Generator, shape: tuple[int, ...], looks: float = 1) -> np.ndarray:
    """Speckle of mean 0.1."""
    return rng.gamma(looks, 0.1 / looks, shape).astype("float32")


@st.composite
def images(draw, least: int = 1, most: int = 20, leading: tuple[int, ...] = ()) -> np.ndarray:
    """Speckle over a step, with gaps, zeros, negative residues of noise, and point targets."""
    shape = draw(st.tuples(st.integers(least, most), st.integers(least, most)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = speckled(rng, (*leading, *shape), draw(st.sampled_from([1, 4.4, 50])))
    image *= np.float32(10 ** draw(st.floats(-3, 2)))
    image[..., rng.integers(shape[1]) :] *= np.float32(draw(st.sampled_from([1, 5])))
    image -= np.float32(draw(st.sampled_from([0, 0.3]))) * image.mean()
    for _ in range(draw(st.integers(0, 2))):
        y, x = rng.integers(shape[0]), rng.integers(shape[1])
        image[..., y : y + 3, x : x + 3] += 50 * np.abs(image).max()
    image[rng.random(image.shape) < draw(st.sampled_from([0, 0.3]))] = 0
    image[rng.random(image.shape) < draw(st.sampled_from([0, 0.1, 0.6, 1]))] = np.nan
    return image


def same_bits(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Equal to the last bit, NaN included."""
    assert found.dtype == wanted.dtype == np.float32
    found, wanted = np.ascontiguousarray(found), np.ascontiguousarray(wanted)
    return bool(np.array_equal(found.view("u4"), wanted.view("u4")))
