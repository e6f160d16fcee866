"""``[data]``: the images and labels."""

from typing import Literal, Self

from pydantic import Field, PrivateAttr

from kit.config.base import ConfigSection, PathName


class PracticeConfig(ConfigSection):
    """``[data.practice]``: the size of the generated competition; only with `train = "practice"`."""

    n: int = Field(default=1600, ge=200, le=200_000)
    """Number of training images, including the planted duplicates and foreign images."""
    size: int = Field(default=64, ge=16, le=512)
    """Width and height in pixels."""
    seed: int = Field(default=0, ge=0)
    """Seed of the generator. Another seed gives another competition."""


class DataConfig(ConfigSection):
    """``[data]``: the images and labels. `train` alone is enough."""

    train: PathName
    """Training set: an `.npz`, `.npy` or idx file, a folder with one subfolder per class, a table (`.csv`, `.tsv`,
    `.txt`, `.json`, `.jsonl`, `.parquet`) next to its images or with them, or the built-in `practice` or `digits`."""
    test: PathName = ""
    """Images to predict, if the competition has them: an `.npz` file, a folder, or a `.csv` file with their ids."""
    validation: PathName = ""
    """The validation split of a data set that has one, in the same forms as `train`. With `[folds] method = "hold-out"`
    it is the fold that is held out; with `k-fold` its images are training images like the others."""
    truth: PathName = ""
    """Hidden labelled images. Only the local platform reads them, for scoring."""
    external: PathName = ""
    """More labelled images, in the same forms as `train`. Used for training in every fold, never for validation."""
    sample_submission: PathName = ""
    """The competition's sample file. It defines the columns, ids and row order of `submission.csv`."""
    classes: PathName = ""
    """Text file with one class name per line, in label order."""
    id: str = ""
    """Column of a `.csv` file that identifies the image. Empty: detected by its name."""
    label: str = ""
    """Column of a `.csv` file, or array of an `.npz` file, that contains the class, or the `.npy` file with the labels.
    Empty: detected by its name. For a folder: regular expression whose group is the class in the path of an image."""
    group: str = ""
    """Column of a `.csv` file, or array of an `.npz` file, whose rows must share a fold, such as the patient."""
    weight: str = ""
    """Column of a `.csv` file, or array of an `.npz` file, with the weight of each row in the loss."""
    images: PathName = ""
    """Folder with the image files of `train`. Empty: searched for next to the `.csv` file."""
    test_images: PathName = ""
    """Folder with the image files of `test`. Empty: searched for next to the `.csv` file."""
    image_size: int = Field(default=0, ge=0, le=4096)
    """Width and height in pixels that images are resized to. 0: not resized; all images must have the same size."""
    resize: Literal["fit", "crop", "stretch"] = "fit"
    """How to resize: `fit` pads with black, `crop` cuts off the longer side, `stretch` changes the proportions."""
    practice: PracticeConfig = PracticeConfig()
    """Size and seed of the built-in data set `practice`."""
    _task: str = PrivateAttr(default="multiclass")

    @property
    def task(self) -> str:
        """``[competition] task``, which says what labels are."""
        return self._task

    def of_task(self, task: str) -> Self:
        """The same data, read for another task."""
        data = self.model_copy()
        data._task = task
        return data
