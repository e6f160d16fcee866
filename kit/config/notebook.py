"""``[notebook]``: the notebook that runs the bundle in a code competition on Kaggle."""

import re
from pathlib import PurePosixPath

from pydantic import field_validator

from kit.config.base import ConfigSection


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
