"""What the zip may cost, held against what it does cost, member by member.

The blend has left members out by its own rule already, from what the folds weighed and took where they were trained.
Here the real zip is weighed and timed; where it is over all the same, it is refused with the numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.config import BundleConfig
from kit.errors import BundleError
from kit.platforms.sandbox import BundleRun
from kit.runs.costs import seconds_per_1000
from kit.stages.bundle.contents import fold_paths, weights_name
from kit.store.candidate import Ensemble
from kit.store.layout import Layout


@dataclass(frozen=True)
class MemberCost:
    """Megabytes of a member's weights in the zip; seconds for 1,000 images under all views, None where not timed."""

    name: str
    mb: float
    seconds: float | None

    def __str__(self) -> str:
        timed = "not timed" if self.seconds is None else f"{self.seconds:.3g} s per 1,000 images"
        return f"{self.name} {self.mb:.3g} MB, {timed}"


def member_costs(layout: Layout, record: Ensemble, weights: Mapping[str, Path]) -> list[MemberCost]:
    """What each member of the zip costs."""
    views, found = len(record.used_views), []
    for member in record.used_members:
        folds = fold_paths(layout, member)
        size = sum(weights[weights_name(member, fold)].stat().st_size for fold in range(len(folds)))
        seconds = seconds_per_1000(folds)
        found.append(MemberCost(member.run, size / 1e6, None if seconds is None else seconds * views))
    return found


def check_size(settings: BundleConfig, mb: float, costs: list[MemberCost]) -> None:
    """Raise `BundleError` where a zip of ``mb`` megabytes is larger than ``max_mb``."""
    if settings.max_mb is not None and mb > settings.max_mb:
        weights = sum(cost.mb for cost in costs)
        what = f"the zip is {mb:.4g} MB, but [bundle] max_mb allows {settings.max_mb:g}: {_list(costs)}"
        raise BundleError(what, f"[ensemble] max_bundle_mb = {0.99 * weights * settings.max_mb / mb:.3g}")


def check_run(settings: BundleConfig, run: BundleRun, costs: list[MemberCost]) -> None:
    """Raise `BundleError` where the run took more time or memory than ``max_seconds`` or ``max_memory_mb``."""
    seconds = run.seconds_for(settings.images)
    if settings.max_seconds is not None and seconds > settings.max_seconds:
        left = settings.max_seconds - run.starting_seconds
        timed = [cost.seconds for cost in costs if cost.seconds is not None]
        hint = "raise [bundle] max_seconds: start-up alone takes longer" if left <= 0 else "[ensemble] max_members = 1"
        if left > 0 and len(timed) == len(costs):  # by how the zip's time compares with that of the folds
            allowed = 0.95 * sum(timed) * left / (run.rate * settings.images)
            hint = f"[ensemble] max_seconds_per_1000 = {allowed:.3g}"
        raise BundleError(
            f"{settings.images} images take {seconds:.3g} s, of which {run.starting_seconds:.3g} s to start, but "
            f"[bundle] max_seconds allows {settings.max_seconds:g}: {_list(costs)}",
            hint,
        )
    if settings.max_memory_mb is not None and run.peak_mb > settings.max_memory_mb:
        raise BundleError(
            f"the bundle used {run.peak_mb:.0f} MB of memory, but [bundle] max_memory_mb allows "
            f"{settings.max_memory_mb:g}: {_list(costs)}",
            f"[bundle] batch_size = {max(1, settings.batch_size // 4)}",
        )


def _list(costs: list[MemberCost]) -> str:
    return "; ".join(str(cost) for cost in costs)
