"""Several opinions about water made one, with how far they agree.

As the Global Flood Monitoring service reports its ensemble (Krullikowski et al. 2023, IEEE J. Sel.
Top. Appl. Earth Obs. Remote Sens. 16, 6917-6930): water where most of the members that ran say so,
and as likelihood the mean of their probabilities.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cube.kernels.compiled import compiled

__all__ = ["vote"]

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]
NO_DATA = 255


@compiled
def _vote(members: Float32, likelihood: Float32, share: Float32, said: UInt8, ran: UInt8) -> None:
    count, pixels = members.shape
    for pixel in range(pixels):
        total, wet, number = 0.0, 0, 0
        for one in range(count):
            value = members[one, pixel]
            if value == value:
                total += value
                number += 1
                wet += value > 0.5
        ran[pixel] = number
        if number == 0:
            likelihood[pixel] = share[pixel] = np.nan
            said[pixel] = NO_DATA
            continue
        mean = total / number
        water = 2 * wet > number or (2 * wet == number and mean > 0.5)
        likelihood[pixel] = mean
        said[pixel] = water
        share[pixel] = (wet if water else number - wet) / number


def vote(members: NDArray[np.floating]) -> tuple[Float32, Float32, UInt8, UInt8]:
    """Consensus of members.

    Parameters
    ----------
    members : float, shape (member, …)
        Probability of water of each; NaN abstains.

    Returns
    -------
    likelihood : float32, shape (…)
        Mean of the members that ran; NaN where none did.
    agreement : float32, shape (…)
        Share of them that sides with the consensus.
    water : uint8, shape (…)
        1 where more than half say water; of a tie the likelihood decides, and a half is dry. 255
        where none ran.
    number : uint8, shape (…)
        Members that ran.

    Raises
    ------
    ValueError
        No member, more than 255, or values outside 0 to 1.

    Examples
    --------
    >>> likelihood, agreement, water, number = vote(np.array([[0.9], [0.8], [0.1]]))
    >>> likelihood.round(2), agreement.round(2), water, number
    (array([0.6], dtype=float32), array([0.67], dtype=float32), array([1], dtype=uint8), array([3], dtype=uint8))
    """  # noqa: E501 - what numpy prints
    stack = np.ascontiguousarray(members, np.float32)
    if stack.ndim < 1 or not 1 <= stack.shape[0] <= NO_DATA:
        raise ValueError(f"members of shape {stack.shape}; give 1 to {NO_DATA} of them")
    low, high = np.nanmin(stack, initial=0.0), np.nanmax(stack, initial=1.0)
    if low < 0 or high > 1:
        raise ValueError(f"probabilities from {low:g} to {high:g}; expected 0 to 1")
    shape = stack.shape[1:]
    size = int(np.prod(shape))
    likelihood, share = np.empty(size, np.float32), np.empty(size, np.float32)
    said, ran = np.empty(size, np.uint8), np.empty(size, np.uint8)
    _vote(stack.reshape(stack.shape[0], -1), likelihood, share, said, ran)
    return (
        likelihood.reshape(shape),
        share.reshape(shape),
        said.reshape(shape),
        ran.reshape(shape),
    )
