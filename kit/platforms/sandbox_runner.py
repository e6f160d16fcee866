"""Runs a bundle in an environment without the kit; started by `kit.platforms.sandbox`, reads and writes files only.

``python -I -S sandbox_runner.py PACKAGES BUNDLE IMAGES.npy ANSWER.npz [inputs] [labels] namespace|patched``: the
folder PACKAGES is all there is to import from, besides the standard library. The last line on standard output says in
JSON how it went. With ``inputs`` the images are also handed over in every form that a platform might choose, and a
later call is timed; with ``labels`` no probabilities are asked for. ``namespace`` says that there is no network, which
is checked; ``patched`` replaces Python's sockets.
"""

import importlib.util
import json
import os
import resource
import socket
import sys
import time
from pathlib import Path

# Of a later call: long enough to be timed, short enough to be waited for.
TIMED_SECONDS = 1.0
TIMED_IMAGES = 512
FORMS = 9  # images that are handed over in every form: with all of them that took most of the time of a proof
TOLERANCE = 1e-4  # of the largest number predicted
LIBRARIES = ("numpy", "tensorflow", "keras")


def main(packages, bundle, images, answer, *flags):
    """Import ``model.py`` from ``bundle`` as a platform does, predict, and store labels and probabilities."""
    sys.path.append(packages)
    assert importlib.util.find_spec("kit") is None, "the kit can be imported: this would prove nothing"
    elsewhere = not Path(bundle).samefile(os.curdir)
    without_network(patched="patched" in flags)
    sys.path.insert(0, bundle)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import numpy as np

    # Mapped, because a hidden test may be larger than the memory; a page that is written to becomes the bundle's own.
    x = np.asarray(np.load(images, mmap_mode="c", allow_pickle=False))
    started = time.perf_counter()
    import model

    predictor = model.Model() if hasattr(model, "Model") else model.model(bundle)
    loaded = time.perf_counter()
    labels = np.asarray(predictor.predict(x))
    predicted = time.perf_counter()
    wanted = "labels" not in flags and hasattr(predictor, "predict_proba")
    proba = predictor.predict_proba(x) if wanted else np.zeros((len(x), 0))
    again = time.perf_counter() - predicted
    np.savez(answer, labels=labels, proba=np.asarray(proba))
    report = {"load_seconds": loaded - started, "predict_seconds": predicted - loaded}
    if "inputs" in flags:
        took = again if wanted else predicted - loaded
        report["timed_images"], report["timed_seconds"] = timed(predictor, x, took, compiled=wanted)
        report["accepted"] = check_accepted(predictor, x, labels)
        report["refused"] = check_refused(predictor, x)
    # The system counts kilobytes on Linux and bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report["peak_mb"] = peak / (1 << (20 if sys.platform == "darwin" else 10))
    libraries = {name: sys.modules[name].__version__ for name in LIBRARIES if name in sys.modules}
    report["versions"] = {"python": sys.version.split()[0], **libraries}
    report["network"] = "patched" if "patched" in flags else "namespace"
    report["kit_absent"] = importlib.util.find_spec("kit") is None and "kit" not in sys.modules
    report["elsewhere"] = elsewhere
    print(json.dumps(report))


def without_network(patched):
    """Take Python's sockets away, or make sure that there is no way out: this sends nothing."""
    if patched:

        def refuse(*arguments, **keywords):
            raise OSError("a bundle has no network")

        for name in ("connect", "connect_ex", "sendto"):
            setattr(socket.socket, name, refuse)
        socket.create_connection = socket.getaddrinfo = refuse
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return
    raise AssertionError("there is a way to the network: this would prove nothing")


def timed(predictor, x, seconds, compiled):
    """How many images were predicted in how many seconds, when everything is compiled.

    ``x`` took ``seconds``, which counts if it was ``compiled`` before and took long enough.
    """
    import numpy as np

    if compiled and seconds >= TIMED_SECONDS:
        return len(x), seconds
    copies = int(min(TIMED_IMAGES / max(len(x), 1), TIMED_SECONDS / max(seconds, 1e-9)))
    many = np.concatenate([x] * max(copies, 1))
    started = time.perf_counter()
    predictor.predict(many)
    return len(many), time.perf_counter() - started


def check_accepted(predictor, x, labels):
    """Whatever form the same images come in, the answer is the same; returns the names of the forms.

    A few images do, of every answer one before any other: what mangles them would not leave all of these answers.
    """
    import numpy as np

    of_each = np.unique(labels, axis=0, return_index=True)[1]
    rows = np.concatenate([of_each, np.setdiff1d(np.arange(len(x)), of_each)])[:FORMS]
    x, labels = x[rows], labels[rows]
    odd = max(len(x) // 2 * 2 - 1, 0)
    spread = np.zeros((2 * len(x), *x.shape[1:]))
    spread[::2] = x
    read_only = np.frombuffer(x.astype(np.uint8).tobytes(), np.uint8).reshape(x.shape)
    forms = {  # types and layouts together: one by one they take twice as long
        "uint8 and read only and an odd count": (read_only[:odd], labels[:odd]),
        "int64 and a reversed view": (x.astype(np.int64)[::-1], labels[::-1]),
        "float32, 0 to 255 and column order": (np.asfortranarray(x.astype(np.float32)), labels),
        "float64, 0 to 255 and not contiguous": (spread[::2], labels),
        "one image": (x[:1], labels[:1]),
        "no image": (x[:0], labels[:0]),
    }
    for name, (images, expected) in forms.items():
        found = np.asarray(predictor.predict(images))
        assert found.shape == expected.shape, f"{name}: predict gave {found.shape}, expected {expected.shape}"
        # Sums of another batch are rounded otherwise: a number is the same as far as float32 can tell.
        same = found == expected
        if expected.dtype.kind == "f":
            same = abs(found - expected) <= TOLERANCE * np.abs(expected).max(initial=0.0)
        assert same.all(), f"{name}: predict gave other answers for the same images"
    return [form for name in forms for form in name.split(" and ")]


def check_refused(predictor, x):
    """What cannot be meant is a clear error and not a prediction; returns what was said."""
    import numpy as np

    broken, endless = x.astype(np.float32), x.astype(np.float64)
    broken[0, 0, 0, 0], endless[-1, -1, -1, -1] = np.nan, np.inf
    forms = {
        "one channel": x[..., :1],
        "another size": x[:, :-1],
        "one image without its first axis": x[0],
        "NaN": broken,
        "infinity": endless,
        "scaled to [0, 1]": x.astype(np.float32) / 256 + 0.001,
        "text": np.full(x.shape, "a"),
        "nothing": None,
    }
    said = {}
    for name, images in forms.items():
        try:
            predictor.predict(images)
        except ValueError as error:
            assert str(error), f"{name}: refused without a word"
            said[name] = str(error)
        else:
            raise AssertionError(f"{name}: predict did not refuse it")
    return said


if __name__ == "__main__":
    main(*sys.argv[1:])
