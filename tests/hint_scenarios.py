"""How each hint that names a command comes about, what is pasted, and what has to end well afterwards."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hints import Wanted, World
from test_download import Site, Storage, zipped

from kit.images.corrupt.plan import plan_of
from kit.platforms import open_platform
from kit.platforms.credentials import store_token
from kit.platforms.uploads import inspect_zip
from kit.runs.results import PredictionSpec
from kit.runs.spec import FoldSpec, plan_runs
from kit.runs.stressed import StressedRun, load_stressed
from kit.runs.units.process import failure
from kit.stages.bundle.bundle import bundle
from kit.stages.export import gather
from kit.stages.stress.worker import stress_fold
from kit.stages.submit import submit
from kit.stages.train.features import FeatureRecord
from kit.stages.train.fold import load_fold_data, predict_test
from kit.store.candidate import Ensemble, ForecastRecord
from kit.store.data import load_images, load_index
from kit.store.files import REFUSALS, read_csv, write_csv
from kit.store.partition import FoldsRecord, load_folds, read_table
from kit.store.predictions import load_predictions
from kit.store.record import digests_of

Do = Callable[[World], object]


def nothing(world: World) -> None:
    """Leave the project as it is."""


@dataclass(frozen=True)
class Scenario:
    """``wanted`` shows the hint after ``damage``; what is pasted after ``repair`` lets it end well.

    ``repair`` is what happens outside the kit meanwhile: a site is reachable again, a person sets a key. A hint may
    also name something to do ``instead``: then that alone has to end well.
    """

    wanted: Wanted
    damage: Do = nothing
    repair: Do = nothing
    instead: bool = False


def every(*steps: Do) -> Do:
    return lambda w: [step(w) for step in steps]


def halve(pattern: str) -> Do:
    def damage(w: World) -> None:
        path = w.path(pattern)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def flip(pattern: str) -> Do:
    def damage(w: World) -> None:
        content = bytearray(w.path(pattern).read_bytes())
        content[len(content) // 2] ^= 0xFF
        w.path(pattern).write_bytes(content)

    return damage


def remove(*patterns: str) -> Do:
    def damage(w: World) -> None:
        for path in [path for pattern in patterns for path in w.root.glob(pattern)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def write(name: str, content: bytes) -> Do:
    return lambda w: (w.root / name).write_bytes(content)


def edit(old: str, new: str, name: str = "kit.toml") -> Do:
    return lambda w: w.edit(old, new, name)


def own_metric(text: str) -> Do:
    return every(write("mine.py", text.encode()), edit("[folds]", '[competition]\nmetric = "mine.py:score"\n[folds]'))


def say(line: str) -> Do:
    return lambda w: w.say(line)


def spec_of(w: World, **changes: Any) -> FoldSpec:
    return plan_runs(w.layout, w.config, ["net"])["net"][0].model_copy(update=changes)


def newest_oof(w: World) -> Path:
    return max(w.root.glob("runs/net-*/oof.npz"), key=lambda path: path.stat().st_mtime)


def of_other_images(w: World) -> None:
    """Forecasts say that they were made for other test images."""
    for path in [*w.root.glob(f"{NET}/forecast.json"), w.newest.forecast]:
        ForecastRecord.load(path).model_copy(update={"made_from": {"test": "0" * 64}}).save(path)


def join_groups(w: World) -> None:
    """The patient of a row gets the images of a row in another fold."""
    folds = {row["id"]: row["fold"] for row in read_csv(w.path("folds/folds.csv"))}
    rows = read_csv(w.root / "raw/train.csv")
    other = next(row for row in rows if folds[row["image_id"]] != folds[rows[0]["image_id"]])
    other["patient"] = rows[0]["patient"]
    write_csv(w.root / "raw/train.csv", tuple(rows[0]), [tuple(row.values()) for row in rows])


def edit_folds(change: Callable[[list[dict[str, str]]], None], *, sign: bool = False) -> Do:
    """Change the table of folds; ``sign`` lets its record say that the kit wrote it so."""

    def damage(w: World) -> None:
        path = w.path("folds/folds.csv")
        rows = read_csv(path)
        change(rows)
        write_csv(path, tuple(rows[0]), [tuple(row.values()) for row in rows])
        if sign:
            record = FoldsRecord.load(path.with_suffix(".json"))
            record.model_copy(update={"files": digests_of(path.parent, path)}).save(path.with_suffix(".json"))

    return damage


def first_to(fold: str | None) -> Callable[[list[dict[str, str]]], None]:
    """The first row goes to a fold, by default to the other one of two."""

    def change(rows: list[dict[str, str]]) -> None:
        rows[0]["fold"] = str(1 - int(rows[0]["fold"])) if fold is None else fold

    return change


def all_to_the_first(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["fold"] = "0"


def faulty(phase: str, fault: str, times: int, storage: bool = False) -> Do:
    def damage(w: World) -> None:
        (w.site.storage if storage else w.site).faults = {phase: (fault, times)}

    return damage


def well(w: World) -> None:
    w.site.faults = {}


def codabench(**changes: Any) -> Do:
    def damage(w: World) -> None:
        w.codabench()
        vars(w.site).update(changes)

    return damage


def kaggle(code: bool = False, **changes: Any) -> Do:
    def damage(w: World) -> None:
        w.kaggle(code)
        vars(w.site).update(changes)

    return damage


def set_site(**changes: Any) -> Do:
    return lambda w: vars(w.site).update(changes)


def years_ago(w: World) -> None:
    """Everything that the ledger tells of happened long ago."""
    for path in w.newest.events.glob("*.json"):
        path.write_text(re.sub(r'("time": ")\d{4}', r"\g<1>2020", path.read_text()))


def later(w: World) -> None:
    w.clock.ahead += 1000


def downloads(content: bytes = zipped(new_csv=b"id,label\n")) -> Do:
    """Public data are handed out by a Codabench on loopback."""

    def damage(w: World) -> None:
        storage, site = w.stack.enter_context(Storage()), w.stack.enter_context(Site())
        storage.content, site.storage = content, storage.url
        w.other = storage
        w.compete(site, platform="codabench", id="7", url=site.url)
        w.patch.setenv("CODABENCH_TOKEN", "0123456789abcdef0123456789abcdef01234567")

    return damage


def corrupt() -> bytes:
    content = zipped(new_csv=b"id,label\n" * 9)
    return content.replace(b"id,label", b"id,lapel", 1)


def platform_check(w: World) -> None:
    platform = open_platform(w.layout, w.config)
    platform.check(platform.file(w.newest))


def direct_submit(w: World) -> None:
    submit(w.layout, w.config, w.newest, w.emit)


def report_text(w: World) -> None:
    w.say("kit report --no-attention")
    w.talk += re.split("<[^>]*>", (w.root / "report.html").read_text())


def without_python(w: World) -> None:
    """What draws the maps of attention does not start."""
    w.patch.setenv("PYTHONHOME", "/nowhere")


def no_time(w: World) -> None:
    w.patch.setattr("kit.stages.report.attention.SECONDS", 0)


def not_started(w: World) -> None:
    from kit.runs.engine.tasks import RayTasks, Start
    from kit.runs.units import Unit

    tasks = RayTasks(w.config.engine.model_copy(update={"storage": "stored"}), w.root)
    tasks.end()
    tasks._attempt(Start(Unit("fold", spec_of(w)), 1, set()), w.emit)


def wrong_stress(w: World) -> None:
    made_from = {"images": "0" * 64, "folds": ""}
    stress_fold(spec_of(w), plan_of(w.config.stress), made_from, lambda *_: None, lambda _: None)


def wrong_test(w: World) -> None:
    predict_test(spec_of(w), {"test": "0" * 64}, lambda *_: None)


def asked_to_end(w: World) -> None:
    raise failure("run `net` fold 0", "net", 143, {}, w.root / "stderr.txt")


def missing_features(w: World) -> None:
    FeatureRecord.load(w.root / "runs/features/x/clean.json")


def not_timed(w: World) -> None:
    w.edit("[ensemble]\n", "[ensemble]\nmax_seconds_per_1000 = 1000\n")
    for path in w.root.glob("runs/*/fold-*/log.jsonl"):
        path.unlink()


def another_clone(w: World) -> None:
    """The facts of the submission are on the server of git, and not here."""
    bare, clone = w.root.parent / "server.git", w.root.parent / "clone"

    def git(folder: Path, *words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)

    w.say("kit submit")
    events = w.newest.events
    kept = events.relative_to(w.root)
    shutil.copytree(events, w.root.parent / "events")
    shutil.rmtree(events)
    git(w.root.parent, "init", "--bare", str(bare))
    git(w.root, "init")
    git(w.root, "add", "kit.toml")
    git(w.root, "commit", "-m", "begin")
    git(w.root, "remote", "add", "origin", str(bare))
    git(w.root, "push", "-u", "origin", "HEAD")
    git(w.root.parent, "clone", str(bare), str(clone))
    (clone / kept).parent.mkdir(parents=True)
    shutil.copytree(w.root.parent / "events", clone / kept)
    git(clone, "add", "-f", ".")
    git(clone, "commit", "-m", "submitted")
    git(clone, "push")


def bad_token(w: World) -> None:
    w.codabench()
    w.patch.delenv("CODABENCH_TOKEN")
    store_token(w.site.url, "0" * 40, "")


def log_in(w: World) -> None:
    w.patch.setenv("CODABENCH_USERNAME", w.site.username)
    w.patch.setenv("CODABENCH_PASSWORD", w.site.password)


def damaged_event(w: World) -> None:
    w.say("kit submit")
    w.path("submissions/*/events/*.json").write_text("{")


def as_latin1(w: World) -> None:
    path = w.root / "raw/train.csv"
    path.write_bytes(path.read_text().replace("p0,", "pä,").encode("latin1"))


def refused(text: str, number: int = 1) -> Scenario:
    """The system refuses a file with the error whose hint this is."""
    codes = [code for code, hint in REFUSALS.items() if hint == text]

    def use(w: World) -> None:
        from kit.store.files import mendable

        known = mendable(OSError(codes[number - 1], "refused", str(w.root / "data/images.npy")))
        assert known is not None
        raise known

    return Scenario(use, instead=True)


def full_disk(w: World) -> None:
    w.patch.setattr("kit.stages.download.shutil.disk_usage", lambda _: namedtuple("usage", "total used free")(0, 0, 0))


def one_more_row(w: World) -> None:
    shutil.copy(w.root / "raw/more/cat/a.png", w.root / "raw/train/36.png")
    with (w.root / "raw/train.csv").open("a") as file:
        file.write("36,36.png,p99,s99,1,1,cat,cat\n")


def another_label(w: World) -> None:
    rows = read_csv(w.root / "raw/train.csv")
    rows[0]["label"] = next(row["label"] for row in rows if row["label"] != rows[0]["label"])
    write_csv(w.root / "raw/train.csv", tuple(rows[0]), [tuple(row.values()) for row in rows])


def one_run(w: World) -> None:
    text = (w.root / "kit.toml").read_text()
    first, last = text.index("[runs.other]"), text.index("[stress]")
    (w.root / "kit.toml").write_text(text[:first] + text[last:])


NET, OTHER = "runs/net-*", "runs/other-*"
CANDIDATE, STRESSED = "submissions/*", "runs/*/stress.json"
QUICK = "kit report --no-attention"  # without the maps of attention, which take TensorFlow

NOTHING_BLENDED = Scenario(QUICK, remove(CANDIDATE))
NOTHING_CLEANED = Scenario(QUICK, remove("data", "folds"))
UNSTRESSED = Scenario(
    QUICK, remove(STRESSED, "runs/*/forecast.json", f"{CANDIDATE}/forecast.json", f"{CANDIDATE}/events")
)

SCENARIOS: dict[str, Scenario] = {
    # bundle
    "card: kit train {run}": Scenario(
        lambda w: bundle(w.layout, w.config, w.newest, w.emit, force=True), halve(f"{NET}/run.json")
    ),
    "Proof.COMMAND: kit bundle --force": Scenario("kit bundle", flip(f"{CANDIDATE}/bundle.zip")),
    # clean
    "propose_labels: kit ensemble": Scenario("kit clean --labels", remove(CANDIDATE)),
    "propose_labels: kit ensemble --all": Scenario("kit clean --labels", edit("raw/classes.txt", "raw/renamed.txt")),
    "propose_labels: {newest.root.name} was made before the labels changed: kit ensemble --all": Scenario(
        "kit clean --labels", another_label
    ),
    "propose_labels: kit ensemble (2)": Scenario("kit clean --labels", one_more_row),
    # compare
    "compare: kit stress {' '.join(dict.fromkeys(map(trained_by, left)))}": Scenario(
        "kit compare net other", remove(f"{NET}/stress.json", f"{NET}/fold-*/stress.json")
    ),
    "_kept: kit train {first[0].run}": Scenario("kit compare net other", remove("runs/*")),
    "_kept: kit train {trained_by(name)}": Scenario("kit compare net other", remove(f"{OTHER}/fold-0")),
    "_judged: kit compare {one} {others[0]}": Scenario("kit compare net", instead=True),
    "_judged: kit sweep {trained_by(one).split(MARK)[0]}": Scenario("kit compare net", one_run, instead=True),
    # config
    "load: ls -ld {shlex.quote(str(path))}": Scenario(
        lambda w: w.config, every(remove("kit.toml"), lambda w: (w.root / "kit.toml").mkdir()), instead=True
    ),
    "load: kit init": Scenario(lambda w: w.config, remove("kit.toml")),
    "parse: sed -n {line[1]}p {name}": Scenario("kit folds", edit("[folds]", "[folds"), instead=True),
    "_content: ls -l {shlex.quote(str(path.parent))}   # the files that are there": Scenario(
        "kit folds", edit("[folds]", '[competition]\nmetric = "mine.py:score"\n[folds]'), instead=True
    ),
    "_told: sed -n {line}p {shlex.quote(str(path))}   # where it failed": Scenario(
        "kit folds", own_metric("1 / 0"), instead=True
    ),
    "_guarded: cat {shlex.quote(str(path))}": Scenario(
        "kit ensemble", own_metric("def score(truth, said):\n    return None"), instead=True
    ),
    "text_of: iconv -f WINDOWS-1252 -t UTF-8 {source} > {copy} && mv {copy} {source}": Scenario("kit clean", as_latin1),
    "find_project: kit init": Scenario(QUICK, remove("kit.toml")),
    # data and folds
    "DataRecord.COMMAND: kit clean --force": Scenario("kit folds", halve("data/manifest.json")),
    "COMMAND: kit clean --force": Scenario(
        lambda w: np.asarray(load_images(w.layout)),
        every(edit("[data]", '[data]\nstore = "encoded"'), say("kit clean"), halve("data/images.shards/00000.bin")),
    ),
    "AGAIN: kit clean": Scenario(
        lambda w: np.asarray(load_images(w.layout)),
        every(
            edit("image_size = 24", 'image_size = 32\nstore = "files"'),
            say("kit clean"),
            remove("raw/train/0[2-4].png"),
        ),
    ),
    "UnlabelledRecord.COMMAND: kit clean --force": Scenario("kit table", halve("data/test.json")),
    "load_record: kit clean": Scenario(lambda w: load_index(w.layout), remove("data")),
    "Index.rows_of: kit train": Scenario(
        lambda w: load_index(w.layout).rows_of(load_predictions(newest_oof(w)).ids),
        every(edit("raw/train.csv", "raw/fewer.csv"), say("kit folds")),
    ),
    "_pinned_groups: kit folds --reset": Scenario("kit folds", join_groups),
    "_pinned_ids: kit folds --reset   # or another [folds] name": Scenario("kit folds", edit("n = 2", "n = 3")),
    "_pinned_ids: kit folds --reset": Scenario("kit folds --force", write("folds/folds.csv", b"a,b\n1,2\n")),
    "FoldsRecord.COMMAND: kit folds --reset   # or, to keep the folds of the file as it is now: kit folds --force": (
        Scenario("kit folds", halve("folds/folds.json"))
    ),
    "load_folds: kit folds": Scenario(
        lambda w: load_folds(w.layout, w.config, load_index(w.layout)), remove("folds/folds.csv")
    ),
    "read_table: kit folds": Scenario(
        lambda w: read_table(w.root / "folds/folds.csv", load_index(w.layout).ids),
        every(edit("raw/train.csv", "raw/fewer.csv"), say("kit clean")),
    ),
    "verify_folds: kit folds --reset": Scenario("kit folds", edit_folds(first_to("9"), sign=True)),
    "verify_folds: kit folds --reset (2)": Scenario("kit folds", edit_folds(first_to(None), sign=True)),
    "verify_folds: kit folds --reset (3)": Scenario("kit folds", edit_folds(all_to_the_first, sign=True)),
    # doctor, download, init
    "_data: kit download   # or {hint}": Scenario(
        "kit doctor", every(edit("raw/test.csv", "raw/new.csv"), downloads())
    ),
    "_disk: free some space: df -h .": Scenario(
        "kit doctor", lambda w: w.patch.setattr("kit.stages.doctor.RUN_BYTES", 1e18), instead=True
    ),
    "unpack: df -h .": Scenario("kit download", every(downloads(), full_disk), instead=True),
    "_opened: kit download --force": Scenario(
        "kit download", downloads(corrupt()), lambda w: vars(w.other).update(content=zipped(new_csv=b"x"))
    ),
    "fetch: register for the competition on its page, then: kit download": Scenario(
        "kit download", every(downloads(), faulty("file", "403", 1))
    ),
    "fetch: kit download": Scenario("kit download", every(downloads(), faulty("file", "reset-before", 1))),
    "init: kit folds": Scenario("kit init", instead=True),
    "_looked: kit init --train {shlex.quote(train)}{new} --no-look   # then edit kit.toml": Scenario(
        "kit init --train raw/none.csv", remove("kit.toml"), instead=True
    ),
    "_looked: kit init --train {shlex.quote(named)}{new}": Scenario(
        "kit init --train raw", remove("kit.toml"), instead=True
    ),
    # engine and units
    "RayTasks._attempt: kit train {unit.spec.run}": Scenario(not_started, instead=True),
    "failure: kit train {run}": Scenario(asked_to_end, instead=True),
    "load_fold_data: kit train {spec.run}": Scenario(lambda w: load_fold_data(spec_of(w, data="0" * 64)), instead=True),
    "predict_test: kit train {spec.run}": Scenario(wrong_test, instead=True),
    "stress_fold: kit stress {spec.run}": Scenario(wrong_stress, instead=True),
    # ensemble, table, forecast, export
    "_make: fitted on clean rows only, as not every run has stressed predictions; run `kit stress`": Scenario(
        "kit ensemble --force",
        every(edit("max_bundle_mb = 100\n", ""), remove(f"{NET}/fold-*/weights.npz", f"{NET}/fold-*/stress.json")),
    ),
    "_fitted: kit train --force": Scenario("kit ensemble", not_timed),
    "Project.ensemble: kit ensemble --all{limit}   # continues where it stopped": Scenario(
        "kit ensemble --all --max-hours 0", remove("runs/*")
    ),
    'blend_of_test: [data] test = "raw/test", then kit train': Scenario(
        "kit table",
        edit('test = "raw/test.csv"\n', ""),
        edit("[data]\n", '[data]\ntest = "raw/test.csv"\n'),
    ),
    "Ensemble.COMMAND: kit ensemble": Scenario(
        lambda w: Ensemble.load(w.newest.ensemble), halve(f"{CANDIDATE}/ensemble.json")
    ),
    "ForecastRecord.COMMAND: kit forecast": Scenario(
        lambda w: ForecastRecord.load(w.newest.forecast), halve(f"{CANDIDATE}/forecast.json")
    ),
    "gather: kit stress --all": Scenario("kit forecast", remove("runs/*")),
    "_run: kit train {paths.root.name.rpartition('-')[0]}": Scenario(
        lambda w: gather(w.layout), halve(f"{NET}/run.json")
    ),
    # runs
    "require: kit train {spec.run} --fold {spec.fold}": Scenario("kit ensemble", remove(f"{NET}/fold-0/fold.json")),
    "joined: kit train {folds[0].run}": Scenario("kit ensemble", halve(f"{NET}/run.json")),
    "require_joined: kit train {folds[0].run}": Scenario("kit ensemble", remove(f"{NET}/run.json")),
    "predicted: kit train {spec.run}": Scenario("kit table", halve(f"{NET}/fold-0/test.json")),
    "load_test: kit train {folds[0].run}": Scenario("kit table", remove(f"{NET}/test.json")),
    "PredictionSpec.COMMAND: kit train": Scenario(
        lambda w: PredictionSpec.load(w.path(f"{NET}/fold-0/fold.json")),
        remove(f"{NET}/fold-0/test.json"),
        instead=True,
    ),
    "FoldSpec.COMMAND: kit train": Scenario(
        lambda w: FoldSpec.load(w.path(f"{NET}/fold-0/spec.json")),
        every(remove(f"{NET}/fold-0/fold.json"), halve(f"{NET}/fold-0/spec.json")),
    ),
    "train_again: kit train {run} --fold {fold} --force": Scenario("kit ensemble", flip(f"{NET}/fold-0/valid.npz")),
    "FeatureRecord.COMMAND: kit train": Scenario(missing_features, instead=True),
    # stress
    "StressedRun.COMMAND: kit stress": Scenario(
        lambda w: StressedRun.load(w.path(f"{NET}/stress.json")), halve(f"{NET}/stress.json")
    ),
    "stressed_fold: kit stress {spec.run}": Scenario("kit ensemble", halve(f"{NET}/fold-0/stress.json")),
    "stressed_run: kit stress {folds[0].run}": Scenario("kit ensemble", halve(f"{NET}/stress.json")),
    "load_stressed: kit stress {folds[0].run}": Scenario(
        lambda w: load_stressed(plan_runs(w.layout, w.config, ["net"])["net"], w.config, load_index(w.layout)),
        remove(f"{NET}/stress.json"),
    ),
    "tell_known: score under stress: kit stress {' '.join(lacking)}": Scenario("kit train", remove(STRESSED)),
    # report
    "attention: kit ensemble --all": Scenario("kit report", every(remove(CANDIDATE), without_python)),
    "attention: kit report": Scenario(report_text, without_python, instead=True),
    "_compute: kit report --no-attention": Scenario("kit report", no_time, instead=True),
    "_compute: kit report --no-attention (2)": Scenario("kit report", without_python, instead=True),
    "augmentation: kit augment {names[0]}": Scenario(QUICK),
    "_sheet: kit augment {names[0]}": Scenario(
        QUICK, lambda w: [path.write_bytes(b"x") for path in [w.layout.augment_picture("net")] if _folder(path)]
    ),
    "balance: kit folds": NOTHING_CLEANED,
    "calibration: kit ensemble": NOTHING_BLENDED,
    "confusion: kit ensemble": NOTHING_BLENDED,
    "classes: kit ensemble": NOTHING_BLENDED,
    "worth: kit ensemble": NOTHING_BLENDED,
    "headline: kit ensemble --all": NOTHING_BLENDED,
    "cleaning: kit clean": NOTHING_CLEANED,
    "curves: kit train": Scenario(QUICK, remove("runs/*", CANDIDATE)),
    "stress: kit stress": UNSTRESSED,
    "_stressed: kit stress {run.record.run}": Scenario(QUICK, halve(f"{NET}/stress.json")),
    "forecast: kit forecast": UNSTRESSED,
    "_forecast: kit forecast": Scenario(QUICK, of_other_images),
    "standing: kit submit": UNSTRESSED,
    "Facts.runs: kit train {paths.root.name.rpartition('-')[0]}": Scenario(QUICK, halve(f"{NET}/run.json")),
    # the ledger
    "add_score: kit lb --add-score {example}": Scenario("kit lb --add-score 87", instead=True),
    "add_score: kit ensemble": Scenario("kit lb --add-score 0.5", remove(CANDIDATE)),
    "add_score: kit lb --add-score {score} --of {newest}": Scenario("kit lb --add-score 0.5 --of nobody", instead=True),
    "aside: mv {name} {damaged}   # where it is committed, this brings it back: git checkout -- {name}": Scenario(
        "kit submit", damaged_event
    ),
    "lock: ls -ld {shlex.quote(str(path.parent))}": Scenario(
        "kit folds --force", every(remove("data/.folds.lock"), lambda w: w.layout.folds_lock.mkdir()), instead=True
    ),
    "act: kit lb": Scenario("kit lb --cancel", codabench(), instead=True),
    "act: submission {attempt.remote} runs again as {remote}; its score: kit lb": Scenario(
        "kit lb --rerun", every(codabench(robot=True), say("kit submit")), instead=True
    ),
    "sentences: {told}: kit lb --cancel --of {one.remote}": Scenario(
        "kit lb", every(codabench(walk=["Running"] * 999), say("kit submit --no-wait"), years_ago), instead=True
    ),
    # submit, wherever to
    "_parcel: kit table": Scenario(direct_submit, every(kaggle(), remove(f"{CANDIDATE}/submission.csv"))),
    "sentences: nothing has been sent to phase `{phase.name}` yet: kit submit": Scenario(
        "kit lb", every(codabench(), say("kit submit"), lambda w: w.site.switch()), instead=True
    ),
    "_parcel: kit bundle": Scenario(direct_submit, remove(f"{CANDIDATE}/proof.json")),
    "submit: {known.message}; to submit it once more: kit submit --again": Scenario(
        "kit submit", say("kit submit"), instead=True
    ),
    "submit: submitted as {attempt.remote}; its score: kit lb": Scenario("kit submit --no-wait", instead=True),
    "earlier: kit submit --again   # spends another submission": Scenario(
        "kit submit",
        every(codabench(outcome="Failed"), lambda w: w.shown("kit submit")),
        set_site(outcome="Finished"),
        instead=True,
    ),
    "_agreed: kit lb": Scenario("kit submit", kaggle(used=5), instead=True),
    "_wait: kit lb": Scenario("kit submit", every(codabench(), faulty("status", "500", -1)), well),
    "_wait: kit lb (2)": Scenario("kit submit", codabench(outcome="Failed"), instead=True),
    "_wait: kit lb   # asks again; the submission stays where it is": Scenario(
        "kit submit", codabench(walk=["Running"] * 999), set_site(walk=["Finished"])
    ),
    "_finish: this board is filled by hand; to show the submission on it: kit submit --to-leaderboard": Scenario(
        "kit submit", codabench(rule="Add"), instead=True
    ),
    "_ask: kit submit": Scenario("kit submit", every(codabench(), faulty("create", "reset-before", 1), later)),
    "_refuse_doubt: kit submit   # asks again; sends again only when it is not listed after {left / 60} minutes": (
        Scenario("kit submit", every(codabench(), faulty("create", "reset-before", 1)), later)
    ),
    "_listed: git pull   # or spend another one: kit submit --again": Scenario(
        "kit submit", every(codabench(), another_clone)
    ),
    # platforms
    "inspect_zip: kit bundle": Scenario(lambda w: inspect_zip(w.newest.bundle), remove(f"{CANDIDATE}/bundle.zip")),
    "Local.check: kit bundle": Scenario(platform_check, remove(f"{CANDIDATE}/bundle.zip")),
    "Local._read: kit submit --again": Scenario(
        "kit submit", every(say("kit submit --no-wait"), remove("data/local-platform/submissions/*")), instead=True
    ),
    "codabench_hint: rm {stored}   # then log in: export CODABENCH_USERNAME=... CODABENCH_PASSWORD=...": Scenario(
        "kit submit", bad_token, log_in
    ),
    "Api.json.ask: kit lb": Scenario("kit submit", every(codabench(), faulty("competition", "reset-before", 3))),
    "repeated: kit lb   # then": Scenario(
        "kit submit", every(codabench(), faulty("competition", "429", 1), lambda w: w.limit_waits(obey=5))
    ),
    "put_file.send: kit submit": Scenario("kit submit", every(codabench(), faulty("put", "500", 3, storage=True))),
    "check_csv: kit table": Scenario(platform_check, every(kaggle(), remove(f"{CANDIDATE}/submission.csv"))),
    "check_csv: kit table (2)": Scenario(
        platform_check, every(kaggle(), lambda w: w.newest.table.write_text("image_id,label\n"))
    ),
    "check_csv: kit table (3)": Scenario(
        platform_check, every(kaggle(), lambda w: w.newest.table.write_text("image_id,label\na,\n"))
    ),
    "check_csv: kit table (4)": Scenario(
        platform_check, every(kaggle(), lambda w: w.newest.table.write_text("image_id,label\na,b\na,b\n"))
    ),
    "Site.ask_once: kit submit": Scenario("kit submit", every(kaggle(), faulty("slot", "500", 1))),
    "Site._clear: kit lb": Scenario("kit submit", every(kaggle(), faulty("competition", "reset-before", 3))),
    "_wait: kit submit": Scenario(
        "kit submit",
        kaggle(True, walks={"dataset": ["BLOBS_RECEIVED"], "kernel": ["COMPLETE"]}),
        set_site(walks={"dataset": ["READY"], "kernel": ["COMPLETE"]}),
    ),
}
SCENARIOS |= {
    f"REFUSALS: {hint}": refused(hint)
    for hint in ("free some space: df -h {folder}", "ls -ld {folder}", "df -h {folder}", "ls -l {folder}")
}
SCENARIOS |= {
    "REFUSALS: ls -ld {folder} (2)": refused("ls -ld {folder}", 2),
    "REFUSALS: ls -ld {folder} (3)": refused("ls -ld {folder}", 3),
    "REFUSALS: df -h {folder} (2)": refused("df -h {folder}", 2),
}

# What cannot be pasted here, and why: it changes the shell itself, needs a secret, a package or a cluster.
NOT_PASTED = {
    "_command: cd ~": "the shell itself changes its folder",
    "_command: ulimit -v unlimited": "the shell itself changes its limits",
    "REFUSALS: ulimit -f unlimited": "the shell itself changes its limits",
    "REFUSALS: ulimit -n 1024": "the shell itself changes its limits",
    "REFUSALS: ulimit -v unlimited, or in kit.toml: [train] workers = 1": "the shell itself changes its limits",
    "REFUSALS: ulimit -u unlimited, or in kit.toml: [train] workers = 1": "the shell itself changes its limits",
    "propose_labels: kit clean   # lists copies with other labels": "`tests/test_tasks.py` provokes it",
    "_packages: pip install -e .": "installs a package",
    "_packages: pip install '{need}'": "installs a package",
    "UrlStore._system: pip install 'kit[ray]'": "installs a package",
    "LACKS: : pip install ": "installs a package",
    "required: pip install {install}": "installs a package",
    "_import: pip install kaggle six": "installs a package",
    "_credentials: export CODABENCH_USERNAME=... CODABENCH_PASSWORD=...": "a person knows the values",
    "_credentials: export KAGGLE_API_TOKEN=...": "a person knows the values",
    "codabench_login: export CODABENCH_USERNAME=... CODABENCH_PASSWORD=...   "
    "# once; the token is kept, the password is not": "a person knows the values",
    "require_kaggle: make a token on kaggle.com under Settings > API, then: export KAGGLE_API_TOKEN=...": (
        "a person knows the values"
    ),
    "machine_folder: export TMPDIR=/a/folder/of/your/own": "a person chooses the folder",
    '_unreachable: ray start --head, or [engine] address = "local"': "starts a cluster",
    "resources: ray status": "needs a cluster",
    "RayTasks.__call__: cat {shlex.quote(str(unit.spec.paths.log))}": "needs a cluster",
    "send: kit export mlflow --to file:./mlruns": "needs MLflow; `tests/test_export.py` does it where it is installed",
    "init: cd {shlex.quote(str(folder))} && ": "the shell itself changes its folder",
    "as_given: kit folds --reset   # or another [folds] name": "`tests/test_folds.py` provokes and mends it",
    "Project.leaderboard: make folds train-all ensemble submit": "trains; `tests/test_pipeline.py` says it",
    "kaggle_files.fetch_zip: kit download": "Kaggle's package of today always leaves a file",
    "ShiftReport.COMMAND: kit forecast": "nothing shows it: a damaged report is made again with a warning",
}


def _folder(path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    return True
