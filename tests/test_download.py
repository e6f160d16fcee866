"""``kit download`` from a stand-in on loopback: whole files or none, and no token where it does not belong."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import sys
import zipfile
from pathlib import Path

import pytest
from servers.base import Answer, Server

from kit.base.events import silent
from kit.config import parse
from kit.errors import ConfigError, DataError, PlatformError
from kit.stages.download import download, suggest, unpack
from kit.store.layout import Layout

pytestmark = pytest.mark.stage

TOKEN = "0123456789abcdef0123456789abcdef01234567"


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), content)
    return out.getvalue()


class Storage(Server):
    """The host that a signed address leads to."""

    content: bytes = b""

    def phase_of(self, method: str, path: str) -> str:
        return "file"

    def answer(self, request) -> Answer:
        return Answer(200, self.content, {"Content-Type": "application/zip"})


class Site(Server):
    """A competition with public data under two phases, and a starting kit."""

    storage = ""

    def phase_of(self, method: str, path: str) -> str:
        return "file" if "/datasets/" in path else "competition"

    def answer(self, request) -> Answer:
        if request.phase == "file":
            key = re.search(r"/datasets/download/([\w-]+)/", request.path).group(1)
            return Answer(302, "", {"Location": f"{self.storage}/bucket/{key}?Signature=x"})
        data = {"key": "aaaa-1", "name": "Public data", "file_name": "../public data.zip"}
        phases = [{"public_data": data, "starting_kit": None}, {"public_data": data, "starting_kit": {"key": "bbbb-2"}}]
        return Answer(200, {"id": 7, "phases": phases})


@pytest.fixture
def sites(monkeypatch, tmp_path):
    monkeypatch.setenv("CODABENCH_TOKEN", TOKEN)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with Storage() as storage, Site() as site:
        storage.content = zipped(train_csv=b"id,label\n", test__a=b"x")
        site.storage = storage.url
        yield site, storage


def config_of(site):
    return parse(f'[competition]\nplatform = "codabench"\nid = "7"\nurl = "{site.url}"\n[data]\ntrain = "raw"')


def test_public_data_and_starting_kit_are_fetched_once_and_unpacked(sites, tmp_path):
    site, storage = sites
    said = []
    download(Layout(tmp_path), config_of(site), said.append)
    assert (tmp_path / "raw/train.csv").read_bytes() == b"id,label\n" and (tmp_path / "raw/test/a").exists()
    assert not list((tmp_path / "raw").glob("*.zip"))
    assert len(storage.requests) == 2
    assert any('train = "raw/train.csv"' in event.text for event in said)
    download(Layout(tmp_path), config_of(site), silent)
    assert len(storage.requests) == 2
    download(Layout(tmp_path), config_of(site), silent, force=True)
    assert len(storage.requests) == 4


def test_the_token_goes_to_the_site_and_not_to_the_storage_host(sites, tmp_path):
    site, storage = sites
    download(Layout(tmp_path), config_of(site), silent)
    assert all(request.headers.get("authorization") == f"Token {TOKEN}" for request in site.requests)
    assert storage.requests and not any("authorization" in request.headers for request in storage.requests)


@pytest.mark.parametrize("fault", ["403", "404", "500", "reset-before"])
def test_a_refusal_is_an_error_and_leaves_no_half_file(sites, tmp_path, fault):
    site, storage = sites
    storage.faults["file"] = (fault, -1)
    with pytest.raises(PlatformError) as caught:
        download(Layout(tmp_path), config_of(site), silent)
    assert TOKEN not in caught.value.message + caught.value.hint
    assert not [path for path in (tmp_path / "raw").rglob("*") if path.is_file()]


def test_a_competition_without_files_says_where_to_look(sites, tmp_path):
    site, _ = sites
    site.answer = lambda request: Answer(200, {"id": 7, "phases": [{"public_data": None, "starting_kit": None}]})
    with pytest.raises(PlatformError, match="provides no public data") as caught:
        download(Layout(tmp_path), config_of(site), silent)
    assert f"{site.url}/competitions/7/" in caught.value.hint


def test_a_zip_that_leaves_its_folder_is_refused(tmp_path):
    (tmp_path / "bad.zip").write_bytes(zipped(**{"..__evil": b"x"}))
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match="outside its folder"):
        unpack(tmp_path / "bad.zip", tmp_path / "raw")
    assert not (tmp_path / "evil").exists()


def seven_zipped(path: Path, **files: bytes) -> None:
    py7zr = pytest.importorskip("py7zr", reason="pip install 'kit[7z]'")
    with py7zr.SevenZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writef(io.BytesIO(content), name.replace("__", "/").replace("_csv", ".csv"))


def unpacked(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_archives_in_archives_are_unpacked_beside_themselves_and_litter_is_not(tmp_path):
    inner = {
        "train.zip": zipped(train__a=b"1"),  # a folder of its name
        "test.zip": zipped(b=b"2", **{"._b": b"x"}),  # no folder around
        "train.csv.zip": zipped(train_csv=b"3"),  # a file of its name
        "deep/more.ZIP": zipped(**{"x.zip": zipped(c=b"4")}),
        ".DS_Store": b"x",
        "__MACOSX/train/._a": b"x",
    }
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, content in inner.items():
            archive.writestr(name, content)
    (tmp_path / "raw").mkdir()
    assert unpack(tmp_path / "all.zip", tmp_path / "raw") == 4
    expected = {"train/a": b"1", "test/b": b"2", "train.csv": b"3", "deep/more/x/c": b"4"}
    assert unpacked(tmp_path / "raw") == expected


def test_an_archive_in_an_archive_that_cannot_be_opened_stays_packed(tmp_path):
    secret = bytearray(zipped(a=b"1"))
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        secret[secret.index(header) + flags] |= 1  # what a zip says of a file with a password
    (tmp_path / "all.zip").write_bytes(
        zipped(
            train_csv=b"id\n",
            labels=b"a file",
            **{"secret.zip": bytes(secret), "model.zip": b"no zip", "labels.zip": zipped(a=b"1", b=b"2")},
        )
    )
    (tmp_path / "raw").mkdir()
    said = []
    assert unpack(tmp_path / "all.zip", tmp_path / "raw", said.append) == 5
    assert set(unpacked(tmp_path / "raw")) == {"train.csv", "labels", "secret.zip", "model.zip", "labels.zip"}
    assert [event.kind for event in said] == ["warn"] * 3


@pytest.mark.parametrize("names_too", [False, True])
def test_an_encrypted_seven_zip_archive_is_refused(tmp_path, names_too):
    py7zr = pytest.importorskip("py7zr", reason="pip install 'kit[7z]'")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w", password="x", header_encryption=names_too) as archive:
        archive.writef(io.BytesIO(b"1"), "a")
    with pytest.raises(DataError, match=r"a\.7z cannot be unpacked"):
        unpack(tmp_path / "a.7z", tmp_path)


def test_archives_are_unpacked_three_deep_and_no_deeper(tmp_path):
    content = zipped(bottom=b"x")
    for _ in range(6):
        content = zipped(**{"a.zip": content})
    (tmp_path / "a.zip").write_bytes(content)
    (tmp_path / "raw").mkdir()
    unpack(tmp_path / "a.zip", tmp_path / "raw")
    assert [Path(name).suffix for name in unpacked(tmp_path / "raw")] == [".zip"]


def test_seven_zip_archives_are_unpacked_also_inside_a_zip(tmp_path):
    seven_zipped(tmp_path / "train.7z", train__a=b"1", train__b=b"2" * 5000)
    for source in ("train.7z", "all.zip"):
        (tmp_path / "all.zip").write_bytes(zipped(**{"train.7z": (tmp_path / "train.7z").read_bytes()}))
        target = tmp_path / source.partition(".")[0]
        target.mkdir()
        assert unpack(tmp_path / source, target) == 2
        assert unpacked(target) == {"train/a": b"1", "train/b": b"2" * 5000}


def test_a_damaged_or_hostile_seven_zip_archive_is_refused(tmp_path):
    seven_zipped(tmp_path / "a.7z", train__a=bytes(range(256)) * 50)
    content = (tmp_path / "a.7z").read_bytes()
    (tmp_path / "raw").mkdir()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 255
        (tmp_path / "a.7z").write_bytes(bytes(damaged))
        with contextlib.suppress(DataError):
            unpack(tmp_path / "a.7z", tmp_path / "raw")
    with pytest.MonkeyPatch.context() as patch:  # a name that py7zr itself would refuse to write into an archive
        patch.setattr("py7zr.py7zr.check_archive_path", lambda name: True)
        seven_zipped(tmp_path / "a.7z", **{"..__evil": b"x"})
    with pytest.raises(DataError):
        unpack(tmp_path / "a.7z", tmp_path / "raw")
    assert not (tmp_path / "evil").exists()


def test_a_link_in_an_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="contains the link 'link'"):
        unpack(tmp_path / "a.zip", tmp_path)


def test_without_py7zr_nothing_is_unpacked_and_nothing_is_fetched_twice(sites, tmp_path, monkeypatch):
    site, storage = sites
    storage.content = zipped(train_csv=b"id,label\n", **{"train.7z": b"7z"})
    monkeypatch.setitem(sys.modules, "py7zr", None)
    for _ in range(2):
        with pytest.raises(ConfigError, match="needs py7zr") as caught:
            download(Layout(tmp_path), config_of(site), silent)
        assert caught.value.hint == "pip install 'kit[7z]'"
        assert len(storage.requests) == 1 and not (tmp_path / "raw/train.csv").exists()


def test_a_damaged_zip_is_named(tmp_path):
    content = bytearray(zipped(train_csv=b"id,label\n" * 100))
    content[50] ^= 255
    (tmp_path / "bad.zip").write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"bad\.zip cannot be unpacked"):
        unpack(tmp_path / "bad.zip", tmp_path)


def test_the_local_platform_has_nothing_to_download(tmp_path):
    with pytest.raises(ConfigError, match="'local' has nothing to download"):
        download(Layout(tmp_path), parse('[data]\ntrain = "practice"'), silent)


def test_kaggle_without_credentials_is_an_error_before_its_package_is_imported(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PlatformError, match="no credentials for Kaggle"):
        download(
            Layout(tmp_path), parse('[competition]\nplatform = "kaggle"\nid = "cats"\n[data]\ntrain = "raw"'), silent
        )


class KaggleSite(Server):
    """The one call of a download: an address of the storage, or a refusal."""

    storage = ""

    def phase_of(self, method: str, path: str) -> str:
        return path.rsplit("/", 1)[-1]

    def answer(self, request) -> Answer:
        assert request.json()["competitionName"] == "cats"
        return Answer(302, "", {"Location": f"{self.storage}/bucket/cats.zip?Signature=x"})


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_USERNAME", "student")
    monkeypatch.setenv("KAGGLE_KEY", TOKEN)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with Storage() as storage, KaggleSite() as site:
        storage.content = zipped(train_csv=b"id,label\n", test__a=b"x")
        site.storage = storage.url
        text = f'[competition]\nplatform = "kaggle"\nid = "cats"\nurl = "{site.url}"\n[data]\ntrain = "raw"'
        yield site, storage, parse(text)


@pytest.mark.filterwarnings("ignore")  # of the official package and what it imports
def test_a_kaggle_competition_is_fetched_by_the_official_package_and_unpacked(kaggle, tmp_path, capsys):
    _, storage, config = kaggle
    download(Layout(tmp_path), config, silent)
    assert (tmp_path / "raw/train.csv").read_bytes() == b"id,label\n" and (tmp_path / "raw/test/a").exists()
    assert {path.name for path in (tmp_path / "raw").iterdir()} == {"train.csv", "test", ".download.json"}
    assert capsys.readouterr().out == ""
    before = len(storage.requests)
    download(Layout(tmp_path), config, silent)
    assert len(storage.requests) == before


@pytest.mark.filterwarnings("ignore")
def test_what_kaggle_refuses_is_told_without_the_key(kaggle, tmp_path):
    site, _, config = kaggle
    site.faults["DownloadDataFiles"] = ("403", -1)
    with pytest.raises(PlatformError, match="Kaggle answered 403") as caught:
        download(Layout(tmp_path), config, silent)
    assert TOKEN not in caught.value.message and "accept the rules" in caught.value.hint


def test_what_was_unpacked_is_suggested_for_the_configuration(tmp_path):
    raw = tmp_path / "raw"
    (raw / "comp/test").mkdir(parents=True)
    for name in ("comp/train.csv", "comp/sample_submission.csv"):
        (raw / name).write_text("id\n")
    assert suggest(tmp_path, raw) == [
        "for [data] in kit.toml:",
        'train = "raw/comp/train.csv"',
        'test = "raw/comp/test"',
        'sample_submission = "raw/comp/sample_submission.csv"',
    ]
