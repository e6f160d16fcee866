"""Runs a bundle in an environment without the kit; started by `kit.sandbox`, reads and writes files only.

``python -I -S sandbox_runner.py PACKAGES BUNDLE IMAGES.npy ANSWER.npz [inputs]``: the folder PACKAGES is all there is
to import from, besides the standard library. The last line on standard output says in JSON how it went. With
``inputs`` the images are also handed over in every form that a platform might choose.
"""

import importlib.util
import json
import os
import resource
import sys
import time


def main(packages, bundle, images, answer, inputs=""):
    """Import ``model.py`` from ``bundle`` as a platform does, predict, and store labels and probabilities."""
    sys.path.append(packages)
    assert importlib.util.find_spec("kit") is None, "the kit can be imported: this would prove nothing"
    sys.path.insert(0, bundle)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import numpy as np

    x = np.load(images, allow_pickle=False)
    started = time.perf_counter()
    import model

    predictor = model.Model() if hasattr(model, "Model") else model.model(bundle)
    loaded = time.perf_counter()
    labels = np.asarray(predictor.predict(x))
    predicted = time.perf_counter()
    proba = predictor.predict_proba(x) if hasattr(predictor, "predict_proba") else np.zeros((len(x), 0))
    np.savez(answer, labels=labels, proba=np.asarray(proba))
    report = {
        "load_seconds": loaded - started,
        "predict_seconds": predicted - loaded,
        "peak_mb": peak_megabytes(),
        "versions": versions(),
    }
    if inputs:
        check_accepted(predictor, x, labels)
        check_refused(predictor, x)
    print(json.dumps(report))


def versions():
    """Of Python and of the libraries that the bundle loaded."""
    names = ("numpy", "tensorflow", "keras")
    found = {name: sys.modules[name].__version__ for name in names if name in sys.modules}
    return {"python": sys.version.split()[0], **found}


def peak_megabytes():
    """Largest resident memory so far; the system counts kilobytes on Linux and bytes on macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))


def check_accepted(predictor, x, labels):
    """Whatever form the same images come in, the answer is the same."""
    import numpy as np

    odd = len(x) // 2 * 2 - 1
    forms = {
        "float32": (x.astype(np.float32), labels),
        "float64": (x.astype(np.float64), labels),
        "one image": (x[:1], labels[:1]),
        "no image": (x[:0], labels[:0]),
        "an odd count": (x[:odd], labels[:odd]),
        "column order": (np.asfortranarray(x), labels),
        "a reversed view": (x[::-1], labels[::-1]),
        "read only": (np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape), labels),
    }
    for name, (images, expected) in forms.items():
        found = np.asarray(predictor.predict(images))
        assert found.shape == expected.shape, f"{name}: predict gave {found.shape}, expected {expected.shape}"
        assert (found == expected).all(), f"{name}: predict gave other classes for the same images"


def check_refused(predictor, x):
    """What cannot be meant is a clear error and not a prediction."""
    import numpy as np

    broken = x.astype(np.float32)
    broken[0, 0, 0, 0] = np.nan
    forms = {
        "one channel": x[..., :1],
        "another size": x[:, :-1],
        "one image without its first axis": x[0],
        "NaN": broken,
        "scaled to [0, 1]": x.astype(np.float32) / 255 * 0.99,
        "text": np.full(x.shape, "a"),
    }
    for name, images in forms.items():
        try:
            predictor.predict(images)
        except ValueError as error:
            assert str(error), f"{name}: refused without a word"
        else:
            raise AssertionError(f"{name}: predict did not refuse it")


if __name__ == "__main__":
    main(*sys.argv[1:])
