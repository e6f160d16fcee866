"""The other sections of ``kit.toml``, from ``[data]`` and ``[clean]`` to ``[notebook]``."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, field_validator

from kit.config.base import ConfigSection, Name, PathName

# Of the time that is allowed: the rest is for loading and for a busier machine.
PREDICTING = 0.8
# Code and description beside the weights, in megabytes.
CODE_MB = 0.5
LARGEST_ARRAY = 2e9  # bytes of pixels that `store = "auto"` keeps as an array


class PracticeConfig(ConfigSection):
    """``[data.practice]``: the size of the generated competition; only with `train = "practice"`."""

    n: int = Field(default=1600, ge=200, le=200_000)
    """Number of training images, planted duplicates and foreign images included."""
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
    unlabelled: PathName = ""
    """More images without labels, for `teach.pseudo`. The same as `train`: the images there that have no label."""
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
    store: Literal["auto", "array", "encoded", "files"] = "auto"
    """How cleaned images are kept: as pixels in one `array`, or `encoded` as JPEG or WebP, in a tenth to two thirds of
    the space, and decoded when they are read. `files`: encoded, but files that have the size are not copied and must
    stay where they are. `auto`: encoded if the pixels would take more than 2 GB."""
    quality: int = Field(default=95, ge=1, le=100)
    """Quality at which JPEG files of another size are `encoded` again. Files that have the size are kept as they are,
    and all other images, also those of up to 128 pixels, are encoded without loss; with 100 all."""
    practice: PracticeConfig = PracticeConfig()
    """Size and seed of the built-in data set `practice`."""
    _task: str = PrivateAttr(default="multiclass")

    @property
    def task(self) -> str:
        """``[competition] task``, which says what labels are."""
        return self._task

    def is_encoded(self, size: float) -> bool:
        """Whether images of ``size`` bytes of pixels are kept encoded."""
        return self.store in ("encoded", "files") or (self.store == "auto" and size > LARGEST_ARRAY)

    def of_task(self, task: str) -> Self:
        """The same data, read for another task."""
        data = self.model_copy()
        data._task = task
        return data


class NotebookConfig(ConfigSection):
    """``[notebook]``: the notebook that runs the bundle in a code competition on Kaggle."""

    accelerator: str = ""
    """Kaggle's name of the machine, such as `NvidiaTeslaT4`. Empty: its default GPU. `none`: no accelerator."""
    image: str = ""
    """Container image: `original` (pinned to that of the first version), `latest`, or an address. Empty: Kaggle's."""
    datasets: tuple[str, ...] = ()
    """Further data sets to attach, as `owner/name`."""
    models: tuple[str, ...] = ()
    """Models to attach, as `owner/model/framework/variation/version`."""
    evaluation: str = ""
    """For competitions with an evaluation API: NAME in `kaggle_evaluation.NAME_inference_server`. Empty: none."""
    output: str = "submission.csv"
    """File name in the notebook's output that is submitted; with the ending `.parquet` it is written in that form."""

    @field_validator("evaluation")
    @classmethod
    def _module(cls, value: str) -> str:
        name = value.removeprefix("kaggle_evaluation.").removesuffix("_inference_server")
        if name and not all(part.isidentifier() for part in name.split(".")):
            raise ValueError("is not the name of a module, such as `rsna` for kaggle_evaluation.rsna_inference_server")
        return name

    @field_validator("output")
    @classmethod
    def _file(cls, value: str) -> str:
        if not re.fullmatch(r"[\w-][\w.-]*", value):
            raise ValueError("is not the name of a file, such as `submission.csv`")
        return value

    @field_validator("datasets", "models")
    @classmethod
    def _sources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for source in value:
            if len(PurePosixPath(source).parts) < 2:
                raise ValueError(f"{source!r} does not begin with its owner: `owner/name`")
        return value


class CleanConfig(ConfigSection):
    """``[clean]``: what happens to duplicated, contaminated and doubtful images. The raw files are never changed."""

    exact: Literal["drop-copies", "group", "keep"] = "drop-copies"
    """Identical images with the same label: keep one of them, keep all of them in one fold, or only list them."""
    near: Literal["group", "drop-copies", "keep", "off"] = "group"
    """Flipped, rotated, re-compressed, brightened or cropped copies: keep all of them in one fold, keep one, only list
    them, or do not search for them."""
    conflicting: Literal["majority", "drop", "keep"] = "majority"
    """Identical images with different labels: keep one with the most frequent label among the copies (on a tie, of the
    larger class), drop all of them, or keep all of them in one fold. They are always listed."""
    contamination: bool = True
    """Drop all copies of images that appear far more often than other duplicates, or under many labels."""
    background: Literal["group", "keep"] = "group"
    """Different images with an identical background: keep all of them in one fold, or only list them."""
    quality: bool = True
    """List dark, light, blurry, empty and grey images. To drop one, add a line to `clean_overrides.csv`."""
    outliers: Literal[False, "isolation-forest", "knn"] = False
    """List the images that differ most from their class in colour and texture. `drop_outliers` also drops them."""
    outlier_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Share of each class that `outliers` lists."""
    drop_outliers: bool = False
    """Drop the images that `outliers` lists. The share is fixed, however unusual they are: look at the sheet first."""


class FoldsConfig(ConfigSection):
    """``[folds]``: how rows are split."""

    name: Name = "folds"
    """Name of the file in `folds/`."""
    method: Literal["k-fold", "hold-out"] = "k-fold"
    """`hold-out` only uses the first fold for validation: one network per run, evaluated on 1/n of the rows."""
    n: int = Field(default=5, ge=2, le=100)
    """Number of folds."""
    repeats: int = Field(default=1, ge=1, le=20)
    """Number of independent splits. Every run trains n networks per split. Predictions are averaged over the splits."""
    seed: int = Field(default=0, ge=0)
    """Seed for shuffling the groups."""

    @property
    def held_out(self) -> int:
        """How many folds of a repeat are held out."""
        return self.n if self.method == "k-fold" else 1


class TrainConfig(ConfigSection):
    """``[train]``: how training uses this machine. No key changes a result."""

    workers: int = Field(default=0, ge=0, le=64)
    """Number of folds trained at the same time. 0: one per GPU, or one per two cores if there is no GPU."""
    tensorboard: bool = False
    """Write the metrics of every epoch for TensorBoard to `runs/RUN/fold-K/tensorboard/`."""


class EngineConfig(ConfigSection):
    """``[engine]``: the machines that units of training run on. No key changes a result."""

    name: Literal["local", "ray"] = "local"
    """`local`: processes on this machine. `ray`: tasks on a Ray cluster."""
    address: str = ""
    """Address of the cluster. Empty: `RAY_ADDRESS`, or else the cluster of this machine. `local`: start one here."""
    num_cpus: float = Field(default=2, gt=0)
    """CPUs per task. If no machine has that many, the number of the largest machine is used."""
    num_gpus: float | None = Field(default=None, ge=0)
    """GPUs per task. Not set: 1 if the cluster has GPUs, else 0."""
    memory: float = Field(default=0, ge=0)
    """Gigabytes of memory that must be free to start a task. 0: no requirement."""
    storage: PathName = ""
    """How files are transferred. Empty: Ray's object store. Else a folder that all machines share, or an fsspec URL."""
    attempts: int = Field(default=3, ge=1, le=20)
    """How often a unit is started if its machine or process is lost."""


class PredictConfig(ConfigSection):
    """``[predict]``: what runs trained networks."""

    engine: Literal["auto", "tensorflow", "openvino", "litert"] = "auto"
    """`openvino`, `litert`: predict in less processor time with `pip install "kit[openvino]"` or `"kit[litert]"`, where
    the probabilities of a sample are the same within 1e-5. `auto`: whichever is found fastest when a long training is
    planned, once per run. Training and bundles use TensorFlow."""


class StressConfig(ConfigSection):
    """``[stress]``: the mixture of corruptions for a second prediction of the held-out images."""

    families: tuple[str, ...] = ()
    """Corruptions or groups of them (`docs/shift.md`), in equal shares. Empty: `["optics", "colour", "objects"]`."""
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


class EnsembleConfig(ConfigSection):
    """``[ensemble]``: which runs are blended and how the blend is judged."""

    runs: tuple[str, ...] = ()
    """Names of the runs to blend. Empty: all runs."""
    metric: str | None = None
    """Metric that answers are decided for. Not set: that of the competition. Weights are fitted by likelihood."""
    unknown: str = ""
    """Class of the images that are of no other class. It is also answered where no other class is probable enough, if
    this is better out of fold by more than one standard error."""
    fit_on: Literal["clean", "stressed", "mixture"] = "mixture"
    """Held-out rows that members, weights, temperatures and views are fitted on: `clean`, corrupted by `kit stress`, or
    both (`mixture`). Scores on clean and on stressed rows are always out-of-fold. If the key is not set and
    `kit stress` cannot run, clean rows are used."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap."""
    max_members: int | None = Field(default=None, ge=1)
    """Maximum number of members. The least useful ones are removed first."""
    max_views: int | None = Field(default=None, ge=1)
    """Maximum number of views for test-time augmentation."""
    max_seconds_per_1000: float | None = Field(default=None, gt=0)
    """Maximum seconds to predict 1,000 images, as measured on the machine that trained the networks."""
    max_bundle_mb: float | None = Field(default=None, gt=0)
    """Maximum size of all weights in megabytes."""


class BundleConfig(ConfigSection):
    """``[bundle]``: the interface of the zip and its limits."""

    contract: Literal["an2dl-2024", "codalab-legacy"] = "an2dl-2024"
    """Interface that the platform imports: `class Model`, or the older `class model(path)`."""
    batch_size: int = Field(default=128, ge=1, le=4096)
    """Number of images per forward pass. Limits the memory use."""
    half_precision: Literal["auto", True, False] = "auto"
    """Store weights as float16. `auto`: only if the zip would exceed `max_mb`. Refused if it changes the score."""
    max_mb: float | None = Field(default=None, gt=CODE_MB)
    """Maximum size of the zip in megabytes. The blend drops members to stay below it."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Maximum seconds to load and predict `images` images on this machine. The blend drops members to stay below."""
    images: int = Field(default=1000, ge=1)
    """Number of images that `max_seconds` refers to."""
    max_memory_mb: float | None = Field(default=None, gt=0)
    """Maximum resident memory in megabytes, including about 500 MB for TensorFlow itself. No limit if not set."""
    model_license: str = "not stated"
    """License of the trained weights, as stated in `card.md`."""
    data_license: str = "not stated"
    """License of the training images, as stated in `card.md`."""

    @property
    def weights_mb(self) -> float | None:
        """Megabytes that `max_mb` leaves for weights."""
        return None if self.max_mb is None else self.max_mb - CODE_MB

    @property
    def seconds_per_1000(self) -> float | None:
        """Seconds that `max_seconds` leaves for predicting 1,000 images."""
        return None if self.max_seconds is None else PREDICTING * self.max_seconds * 1000 / self.images

    def limits(self) -> dict[str, float | str | None]:
        """What of this section the blend depends on; empty without limits."""
        if self.max_mb is None and self.max_seconds is None:
            return {}
        return {"weights_mb": self.weights_mb, "seconds": self.seconds_per_1000, "half": self.half_precision}
