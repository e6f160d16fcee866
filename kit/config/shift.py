"""``[stress]``: how held-out images are corrupted for the stressed score."""

from pydantic import Field, field_validator

from kit.config.base import ConfigSection


class StressConfig(ConfigSection):
    """``[stress]``: the mixture of corruptions for a second prediction of the held-out images."""

    families: tuple[str, ...] = ()
    """Names of corruptions (see `docs/shift.md`), each with the same share. Empty: all of them."""
    severities: tuple[float, ...] = (1, 1, 1, 1, 1)
    """Relative frequencies of the severities 1 to 5."""
    clean: float = Field(default=0.2, ge=0, lt=1)
    """Share of the images that are not corrupted."""
    rows: int = Field(default=200, ge=1)
    """Maximum number of held-out images that are predicted under every family and severity."""
    seed: int = Field(default=0, ge=0)
    """Seed that decides which image gets which corruption."""

    @field_validator("severities")
    @classmethod
    def _five(cls, severities: tuple[float, ...]) -> tuple[float, ...]:
        if len(severities) != 5 or min(severities) < 0 or sum(severities) <= 0:
            raise ValueError("must be five shares for the severities 1 to 5, not negative and not all 0")
        return severities
