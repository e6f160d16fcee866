"""What `kit.judge.blend.fit` returns: a fitted blend, and what it predicts out of fold."""

import json

from pydantic import ConfigDict, Field

from kit.judge.metrics import Array
from kit.store.candidate import StoredBlend


class Blend(StoredBlend):
    """A fitted blend with its nested predictions, which are not a part of what is kept on the disk.

    Attributes
    ----------
    oof : (N, C) array
        What `nested` scores.
    stressed_oof : (N, C) array or None
        The same of the stressed rows, which `stressed` scores.
    answers, stressed_answers : (N,) arrays
        What was decided for these rows, by decisions that never saw them; this is what a metric of labels is given.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    oof: Array = Field(exclude=True, repr=False)
    stressed_oof: Array | None = Field(exclude=True, repr=False)
    answers: Array = Field(exclude=True, repr=False)
    stressed_answers: Array | None = Field(exclude=True, repr=False)

    def to_json(self) -> str:
        """Return what is kept on the disk as JSON text: all but the arrays."""
        return json.dumps(self.model_dump(mode="json", exclude_unset=True), indent=1)
