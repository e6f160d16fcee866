"""``[data]``: the images and labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kit.config.base import PathName, Section


class PracticeConfig(Section):
    """``[data.practice]``: the size of the generated competition; only with `train = "practice"`."""

    n: int = Field(default=1600, ge=200, le=200_000)
    """Training images, planted ones included."""
    size: int = Field(default=64, ge=16, le=512)
    """Pixels along each side."""
    seed: int = Field(default=0, ge=0)
    """Another seed is another competition."""


class DataConfig(Section):
    """``[data]``: the images and labels. `train` alone is enough."""

    train: PathName
    """A `.npz`, a folder with one folder a class, a `.csv` beside its images, or built in: `practice`, `digits`."""
    test: PathName = ""
    """Images to predict, where the competition gives them: a `.npz`, a folder of images, or a `.csv` with their ids."""
    truth: PathName = ""
    """Hidden labelled images that only the local platform reads, to score."""
    external: PathName = ""
    """Further labelled images in any of the forms of `train`: trained on in every fold, never validated on."""
    sample_submission: PathName = ""
    """The competition's sample file: columns, ids and order of `submission.csv` are taken from it."""
    classes: PathName = ""
    """A text file with one class name a line, in label order."""
    id: str = ""
    """Column of a `.csv` that names the image; found by its name where empty."""
    label: str = ""
    """Column of a `.csv` with the class; found by its name where empty."""
    group: str = ""
    """Column of a `.csv`, or array of a `.npz`, that says what must share a fold: the patient, the slide."""
    weight: str = ""
    """Column of a `.csv`, or array of a `.npz`, with the weight of each row in the loss."""
    images: PathName = ""
    """Folder with the image files of a `.csv`; found beside it where empty."""
    test_images: PathName = ""
    """The same for the test's `.csv`."""
    image_size: int = Field(default=0, ge=0, le=4096)
    """Pixels along each side that images are resized to; 0 = as they are (all the same size)."""
    resize: Literal["fit", "crop", "stretch"] = "fit"
    """How: `fit` shows everything, on black; `crop` cuts what stands over; `stretch` changes the proportions."""
    practice: PracticeConfig = PracticeConfig()
    """What the built-in set `practice` is made with."""
