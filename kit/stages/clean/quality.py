"""Pictures that are hardly any use: dark, light, blurry, empty, grey among colour, of an odd size."""

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import IntArray
from kit.stages.clean.draft import Finding
from kit.stages.clean.statistics import Statistics

# What a fifth of the pictures show is the nature of the data: night shots, X-rays, grey scans.
COMMON = 0.2
# CleanVision's limits in grey values and bits: its scores 0.32, 0.05 and 0.3, and 0.29 for the Laplacian.
DARK, LIGHT, EMPTY, BLURRY = 82.0, 242.0, 3.0, 34.0
# A smooth subject has a small Laplacian too: blurry is also a quarter of what the data have as a rule.
BLURRIER = 0.25
GREY = 1.0
ODD = 3.0


def quality(found: Statistics, rows: IntArray) -> list[Finding]:
    """List the pictures with a problem, by the statistics of the pictures in ``rows`` (K,).

    Reasons are ``dark``, ``light``, ``blurry``, ``low-information`` and ``grey``, as in CleanVision, with the figure
    that says so. A problem that more than a fifth of the pictures have is not listed.
    """
    usual = float(np.median(found.sharpness)) if len(rows) else 0.0
    soft = found.sharpness < min(BLURRY, BLURRIER * usual)
    problems = {
        "dark": (found.brightest < DARK, found.brightest, "99 % of the pixels are darker than {:.0f}"),
        "light": (found.darkest > LIGHT, found.darkest, "95 % of the pixels are lighter than {:.0f}"),
        "blurry": (soft, found.sharpness, "variance of the Laplacian {:.1f}"),
        "low-information": (found.entropy < EMPTY, found.entropy, "entropy {:.2f} bits"),
        "grey": (found.chroma < GREY, found.chroma, "channels differ by {:.1f} on average"),
    }
    return [
        Finding(int(rows[place]), reason, -1, told.format(values[place]))
        for reason, (shown, values, told) in problems.items()
        if shown.sum() <= COMMON * len(rows)
        for place in np.flatnonzero(shown)
    ]


def odd_sizes(sizes: IntArray, rows: IntArray) -> list[Finding]:
    """List the ``rows`` (K,) whose area or aspect is far from the others', by height and width in the file (K, 2).

    ``odd-size`` is where area or aspect leaves the quartiles by three times their distance (Tukey's far out) and by a
    factor of two at least. A size of 0 is not known.
    """
    known = sizes.all(axis=1)
    sizes, rows = sizes[known], rows[known]
    if not len(rows):
        return []
    height, width = sizes.T.astype(float)
    odd = _far_out(np.log2(height * width)) | _far_out(np.log2(width / height))
    return [
        Finding(int(rows[place]), "odd-size", -1, f"{sizes[place, 1]} x {sizes[place, 0]} px")
        for place in np.flatnonzero(odd)
    ]


def _far_out(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    low, high = np.quantile(values, [0.25, 0.75])
    reach = max(1.0, ODD * (high - low))
    return np.asarray((values < low - reach) | (values > high + reach))
