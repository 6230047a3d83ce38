"""Where the seams of two sub-swaths and two bursts lie on a grid, by plain formulas.

Times of the annotations by regular expressions, the orbit by numpy, Newton's iteration by hand.
"""

from __future__ import annotations

import re

import numpy as np
from pyproj import Transformer

LIGHT = 299_792_458.0


def bursts_of(text):
    """The list of bursts in an annotation."""
    return text[text.index("<burstList") : text.index("</burstList>")]


def seams_of(safe, grid, height):
    """Sub-swath (1 or 2) of every pixel, and its lines from the seam of IW1's first two bursts.

    `height` is that of longitude and latitude.
    """
    texts = {n: next((safe / "annotation").glob(f"s1a-iw{n}-*.xml")).read_text() for n in (1, 2)}

    def number(text, tag):
        return float(re.search(rf"<{tag}>([^<]+)<", text)[1])

    def times(text, tag):
        return [np.datetime64(found) for found in re.findall(rf"<{tag}>([^<]+)</{tag}>", text)]

    epoch = times(texts[1], "productFirstLineUtcTime")[0]

    def seconds(moments):
        return np.array([(one - epoch) / np.timedelta64(1, "us") * 1e-6 for one in moments])

    orbit = re.search(r"<orbitList.*?</orbitList>", texts[1], re.S)[0]
    at = seconds(times(orbit, "time"))
    vectors = {
        kind: np.array(
            [
                [float(v) for v in re.findall(r"<[xyz]>([^<]+)<", part)]
                for part in re.findall(rf"<{kind}>.*?</{kind}>", orbit, re.S)
            ]
        )
        for kind in ("position", "velocity")
    }
    place, speed = (
        [np.polynomial.Polynomial.fit(at, vectors[kind][:, axis], 7) for axis in range(3)]
        for kind in ("position", "velocity")
    )
    time, slant = _solve(grid, height, place, speed)
    delay = 2 * slant / LIGHT
    start = {n: seconds(times(bursts_of(texts[n]), "azimuthTime")) for n in (1, 2)}
    step = number(texts[1], "azimuthTimeInterval")
    middle = number(texts[2], "slantRangeTime") + (
        number(texts[2], "numberOfSamples") / 2 / number(texts[2], "rangeSamplingRate")
    )
    line_time = time - (delay - middle) / 2
    valid = {n: _valid(texts[n]) for n in (1, 2)}
    edge = {
        n: number(texts[n], "slantRangeTime")
        + np.array([valid[n][2], valid[n][3]]) / number(texts[n], "rangeSamplingRate")
        for n in (1, 2)
    }
    cut = (edge[1][1] + edge[2][0]) / 2
    end = start[1][0] + valid[1][1] * step
    begin = start[1][1] + valid[1][0] * step
    return np.where(delay < cut, 1, 2), (line_time - (end + begin) / 2) / step


def _valid(text):
    """First and last valid line, first and last sample that all valid lines of all bursts hold."""
    first = [
        np.array(found.split(), int)
        for found in re.findall(r"<firstValidSample[^>]*>([^<]+)<", text)
    ]
    last = [
        np.array(found.split(), int)
        for found in re.findall(r"<lastValidSample[^>]*>([^<]+)<", text)
    ]
    at = np.flatnonzero(first[0] >= 0)
    near = max(one[one >= 0].max() for one in first)
    return at[0], at[-1], near, min(one[one >= 0].min() for one in last)


def _solve(grid, height, place, speed):
    """Zero-Doppler time and slant range of the pixels."""
    col, row = np.meshgrid(np.arange(grid.shape[1]) + 0.5, np.arange(grid.shape[0]) + 0.5)
    x, y = grid.affine * (col, row)
    lon, lat = Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(x, y)
    points = np.stack(
        Transformer.from_crs(4979, 4978, always_xy=True).transform(lon, lat, height(lon, lat)),
        axis=-1,
    )
    time = np.zeros(grid.shape)
    for _ in range(6):
        p = np.stack([one(time) for one in place], axis=-1)
        v = np.stack([one(time) for one in speed], axis=-1)
        a = np.stack([one.deriv()(time) for one in speed], axis=-1)
        sight = points - p
        time -= (sight * v).sum(-1) / ((sight * a).sum(-1) - (v * v).sum(-1))
    return time, np.linalg.norm(points - p, axis=-1)


def near_seams(seams, pixels=8):
    """Pixels beside the burst seam of IW1, those beside the sub-swaths' seam, and all others."""
    swath, lines = seams
    at_burst = (swath == 1) & (np.abs(lines) < pixels * 0.7)  # .7 line in a pixel of 10 m
    at_swath = np.zeros(swath.shape, bool)
    for row in range(swath.shape[0]):
        edge = np.flatnonzero(np.diff(swath[row]))
        for one in edge:
            at_swath[row, max(one - pixels, 0) : one + pixels] = True
    return {"burst seam": at_burst, "swath seam": at_swath, "inside": ~at_burst & ~at_swath}
