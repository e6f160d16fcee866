"""Runs a bundle in an environment without the kit; started by `kit.sandbox`, reads and writes files only.

``python -I -S sandbox_runner.py PACKAGES BUNDLE IMAGES.npy ANSWER.npz``: the folder PACKAGES is all there is to
import from, besides the standard library. One JSON line on standard output says how it went.
"""

import importlib.util
import json
import os
import resource
import sys
import time


def main(packages: str, bundle: str, images: str, answer: str) -> None:
    """Import ``model.py`` from ``bundle`` as a platform does, predict, and store labels and probabilities."""
    sys.path.append(packages)
    assert importlib.util.find_spec("kit") is None, "the kit can be imported: this would prove nothing"
    sys.path.insert(0, bundle)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import numpy as np

    x = np.load(images, allow_pickle=False)
    started = time.perf_counter()
    import model  # type: ignore[import-not-found]

    predictor = model.Model() if hasattr(model, "Model") else model.model(bundle)
    loaded = time.perf_counter()
    labels = predictor.predict(x)
    predicted = time.perf_counter()
    proba = predictor.predict_proba(x) if hasattr(predictor, "predict_proba") else np.zeros((len(x), 0))
    np.savez(answer, labels=np.asarray(labels), proba=np.asarray(proba))
    # Kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))
    report = {"load_seconds": loaded - started, "predict_seconds": predicted - loaded, "peak_mb": peak}
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
