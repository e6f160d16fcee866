"""``kit predict``: the predictions of any bundle on a folder, an array or a table of images."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from kit.base.arrays import ImageArray
from kit.base.events import Emit, Event
from kit.base.process import without_greeting
from kit.config import DataConfig
from kit.errors import BundleError, ConfigError, DataError
from kit.images.sources import open_source
from kit.platforms.archive import opened
from kit.runs.units.bundles import Converted, convert_and_keep, load_kept
from kit.runs.units.networks import ENGINES
from kit.runs.units.worker import with_tensorflow
from kit.runtime.predictor import Predictor
from kit.store.arrays import UNREADABLE
from kit.store.files import write_csv


def predict(bundle: Path, images: Path, out: Path, emit: Emit, engine: str = "tensorflow") -> None:
    """Predict images with the description and weights of a zip that `kit bundle` made; none of its code is run.

    ``images`` is a ``.npz``, a folder, or a ``.csv``: whatever ``[data] test`` can name. They are resized to what the
    networks take, as the bundle says. ``out`` is a table with ``id``, ``label`` and a column of probabilities for each
    class; the label is one class, or those of several with a probability of at least .5, or the mean of a number.
    ``engine`` is as in ``[predict]``, but `auto`, which is measured for a run, stands for `tensorflow`.

    Raises `BundleError` where the zip is not one that can be trusted, or its networks give no probabilities,
    `DataError` where the images cannot be read, and `ConfigError` where there is no such engine.
    """
    if engine not in (known := ("auto", "tensorflow", *ENGINES)):
        raise ConfigError(f"no engine {engine!r}", f"known: {', '.join(known)}")
    with opened(bundle) as folder:
        with without_greeting(), _told(f"{bundle.name} cannot be loaded"):
            try:
                predictor = (load_kept(folder, engine) if engine in ENGINES else None) or Predictor(str(folder))
            except FileNotFoundError as error:  # `archive` did not unpack weights that are larger than their network
                what = f"the weights {Path(error.filename).name} are too large for their network or for the zip"
                raise BundleError(f"{bundle.name}: {what}") from None
        data = DataConfig(
            train="unused.npz", test=str(images.resolve()), image_size=predictor.size, resize=predictor.resize
        )
        source = open_source(data, Path.cwd(), "test")
        proba = np.empty((len(source.ids), len(predictor.classes)))
        for start, block, problems in source.blocks():
            for row, reason in problems.items():
                raise DataError(f"image {source.ids[row]!r} cannot be read: {reason}")
            # Numbers that are none are looked for in the probabilities.
            with _told(f"{bundle.name} cannot predict"), np.errstate(all="ignore"):
                if engine in ENGINES and start == 0:
                    predictor = _in_engine(engine, predictor, folder, block, emit)
                proba[start : start + len(block)] = predictor.predict_proba(block)
            emit(Event("progress", f"predict: {start + len(block)} of {len(source.ids)}", {"stage": "predict"}))
    finite = np.isfinite(proba).all(axis=1)
    if not finite.all():
        raise BundleError(f"{bundle.name} gives NaN or infinity for image {source.ids[int(finite.argmin())]!r}")
    names = [_text(name) for name in predictor.classes]
    decided = predictor.decided(proba).tolist()
    if predictor.several:
        answers = [" ".join(name for name, one in zip(names, row, strict=True) if one) for row in decided]
    else:
        answers = [f"{said:.6g}" if isinstance(said, float) else names[said] for said in decided]
    cells = zip(source.ids, answers, proba, strict=True)
    rows = ((name, answer, *(f"{value:.6f}" for value in line)) for name, answer, line in cells)
    # Told apart from the first columns where a class is called so.
    ambiguous = {"id", "label"} & {name.casefold() for name in names}
    write_csv(out, ("id", "label", *(f"class {name}" if ambiguous else name for name in names)), rows)
    emit(Event("wrote", "", {"paths": [out.resolve()]}))


def _in_engine(engine: str, predictor: Predictor, folder: Path, images: ImageArray, emit: Emit) -> Predictor:
    """The same bundle in an engine, or ``predictor`` where the probabilities of some images are others; it is said."""
    try:
        if not isinstance(predictor, Converted):
            with without_greeting():
                predictor = convert_and_keep(folder, engine, predictor, images)
    except (ImportError, ArithmeticError) as error:
        emit(Event("warn", f"the bundle is predicted with TensorFlow: {error}"))
        return predictor
    emit(Event("say", f"the bundle is predicted with {ENGINES[engine].title}"))
    return predictor


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Networks and arrays of others were checked, but they need not fit each other, nor the memory."""
    try:
        yield
    except with_tensorflow("OpError", *UNREADABLE) as error:
        said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise BundleError(f"{what}: {said[:300]}") from error


def _text(name: str) -> str:
    """A class name as a cell that no spreadsheet takes for a formula: behind an apostrophe where it looks like one.

    Class names are the words of whoever made the zip. A negative number is none (``-1`` is a usual name of a class).
    Ids stay as they are: they are the user's own, and have to match those of a competition letter by letter.
    """
    with suppress(ValueError):
        if name.startswith("-") and math.isfinite(float(name)):
            return name
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name
