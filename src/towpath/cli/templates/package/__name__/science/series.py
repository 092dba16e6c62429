"""Series of measurements."""

from collections.abc import Sequence
from statistics import median

TO_STANDARD_DEVIATION = 1.4826  # of the median absolute deviation, where errors are normal


def clean(rows: Sequence[tuple[float, float]], limit: float) -> list[tuple[float, float]]:
    """Leave out the values that stick out.

    Parameters
    ----------
    rows
        Time and value of each measurement.
    limit
        How far a value may lie from the median, in robust standard deviations.
    """
    middle = median(value for _, value in rows)
    spread = TO_STANDARD_DEVIATION * median(abs(value - middle) for _, value in rows)
    return [row for row in rows if abs(row[1] - middle) <= limit * spread]
