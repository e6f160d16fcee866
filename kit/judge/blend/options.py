"""Names of what is blended, and limits on what may be shipped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Options:
    """Everything about a fit that is not numbers to fit.

    Attributes
    ----------
    members, views, classes, rows : sequences of str, optional
        Names used in notes, tables and errors; by default numbers. The first view is the identity.
    max_members, max_views : int, optional
    max_seconds_per_1000 : float, optional
        Time to predict 1,000 images with all members that are kept, under all views that are kept.
    max_bundle_mb : float, optional
        Size of all members that are kept.
    seconds_per_1000, mb : sequences of M floats, optional
        What each member costs: seconds per 1,000 images and view, and megabytes.
    """

    members: Sequence[str] | None = None
    views: Sequence[str] | None = None
    classes: Sequence[str] | None = None
    rows: Sequence[str] | None = None
    max_members: int | None = None
    max_views: int | None = None
    max_seconds_per_1000: float | None = None
    max_bundle_mb: float | None = None
    seconds_per_1000: Sequence[float] | None = None
    mb: Sequence[float] | None = None
    unknown: str = ""  # the class that is answered where no other is probable enough
    whole: bool = True  # a row is an image; notes say nothing of rows that are labels or copies of one

    def only(self, members: Sequence[int]) -> "Options":
        """Return the options for a selection of the members."""
        names, seconds, mb = self.members, self.seconds_per_1000, self.mb
        return replace(
            self,
            members=None if names is None else [names[m] for m in members],
            seconds_per_1000=None if seconds is None else [seconds[m] for m in members],
            mb=None if mb is None else [mb[m] for m in members],
        )
