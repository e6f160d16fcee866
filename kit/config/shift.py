"""``[stress]``: how held-out images are hurt for the score beside the clean one."""

from __future__ import annotations

from pydantic import Field, field_validator

from kit.config.base import Section


class StressConfig(Section):
    """``[stress]``: the mixture of corruptions that held-out images are predicted under, beside the clean ones."""

    families: tuple[str, ...] = ()
    """Corruptions, by the names of `docs/shift.md`, each with the same share; empty = all."""
    severities: tuple[float, ...] = (1, 1, 1, 1, 1)
    """How often severities 1 to 5 come, relative to each other."""
    clean: float = Field(default=0.2, ge=0, lt=1)
    """Share of the images that stay as they are."""
    rows: int = Field(default=200, ge=1)
    """Held-out images, at most, that are predicted under every family and severity."""
    seed: int = Field(default=0, ge=0)
    """Decides which image is hurt in which way."""

    @field_validator("severities")
    @classmethod
    def _five(cls, severities: tuple[float, ...]) -> tuple[float, ...]:
        if len(severities) != 5 or min(severities) < 0 or sum(severities) <= 0:
            raise ValueError("five shares, for severities 1 to 5, not all 0")
        return severities
