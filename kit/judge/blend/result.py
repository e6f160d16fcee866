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
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    oof: Array = Field(exclude=True, repr=False)
    stressed_oof: Array | None = Field(exclude=True, repr=False)

    def to_json(self) -> str:
        """Return what is kept on the disk as JSON text: all but `oof` and `stressed_oof`."""
        return json.dumps(self.model_dump(mode="json", exclude_unset=True), indent=1)
