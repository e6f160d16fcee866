"""Formats that need a library: HEIC, AVIF and DICOM give the stated pixels, and the library is named where it lacks."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import encoded
from PIL import Image, features

from kit.base.events import Event
from kit.config import parse
from kit.errors import DataError
from kit.images.sources import open_source
from kit.runtime import decode
from kit.runtime.decode import LacksLibrary, Unreadable
from kit.stages.clean.clean import clean
from kit.store.files import read_csv
from kit.store.layout import Layout

H, W = 24, 32
RAMP = np.stack([np.linspace(20, 220, W)[None].repeat(H, 0), np.linspace(220, 20, H)[:, None].repeat(W, 1)], -1)
PICTURE = np.concatenate([RAMP, RAMP.mean(axis=-1, keepdims=True)], axis=-1).astype(np.uint8)
# The first bytes of files of phones: the box of the brand, and nothing behind it.
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
GREY = np.arange(H * W, dtype=np.int16).reshape(H, W) * 5 - 1000


@pytest.fixture(autouse=True)
def _quiet():
    with decode.quiet():
        yield


def phone_file(kind: str, **options) -> bytes:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif", reason="pip install 'kit[heic]'").register_heif_opener()
    elif not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    return encoded(Image.fromarray(PICTURE), kind, quality=95, **options)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_files_of_phones_give_their_pixels(kind):
    pixels = decode.decode(phone_file(kind))
    assert pixels.shape == PICTURE.shape and np.abs(pixels.astype(int) - PICTURE).max() <= 12


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_says_how_a_turned_file_is_read(kind, orientation):
    exif = Image.Exif()
    exif[decode.ORIENTATION] = orientation
    data = phone_file(kind, exif=exif.tobytes())
    assert decode.header_size(data) == decode.decode(data).shape[:2] == ((H, W) if orientation < 5 else (W, H))


def dicom_file(values: np.ndarray, kind: str = "MONOCHROME2", **tags) -> bytes:
    pydicom = pytest.importorskip("pydicom", reason="pip install 'kit[dicom]'")
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = pydicom.uid.generate_uid()
    shape = values.shape[1:] if "NumberOfFrames" in tags else values.shape
    made.Rows, made.Columns, made.SamplesPerPixel = *shape[:2], 3 if len(shape) == 3 else 1
    made.PhotometricInterpretation, made.PixelRepresentation = kind, int(values.dtype.kind == "i")
    made.BitsAllocated = made.BitsStored = 8 * values.dtype.itemsize
    made.HighBit = made.BitsStored - 1
    if made.SamplesPerPixel == 3:
        made.PlanarConfiguration = 0
    for name, value in tags.items():
        setattr(made, name, value)
    made.PixelData = values.tobytes()
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(40, 400), (-600, 1500), (0, 1)])
def test_a_window_is_applied_as_pydicom_applies_it(function, centre, width):
    window = {"WindowCenter": centre, "WindowWidth": width, "VOILUTFunction": function}
    data = dicom_file(GREY, RescaleSlope=1, RescaleIntercept=-24, **window)
    pydicom = pytest.importorskip("pydicom")
    made = pydicom.dcmread(io.BytesIO(data))
    shown = pydicom.pixels.apply_windowing(pydicom.pixels.apply_modality_lut(made.pixel_array, made), made)
    low, high = -(2.0**15) - 24, 2.0**15 - 1 - 24  # what pydicom takes for black and white: the range of the type
    expected = np.rint((shown - low) / (high - low) * 255)
    pixels = decode.decode(data)
    assert np.abs(pixels[..., 0] - expected).max() <= 1
    assert (pixels == pixels[..., :1]).all() and decode.header_size(data) == (H, W)


def test_without_a_window_the_lowest_value_is_black_and_the_highest_white():
    pixels = decode.decode(dicom_file(GREY))[..., 0]
    np.testing.assert_array_equal(pixels, np.rint((GREY - GREY.min()) / np.ptp(GREY) * 255))


def test_the_first_of_several_windows_counts_and_a_flat_picture_is_black():
    one, several = (dicom_file(GREY, WindowCenter=c, WindowWidth=w) for c, w in ((40, 80), ([40, 300], [80, 1500])))
    np.testing.assert_array_equal(decode.decode(one), decode.decode(several))
    assert not decode.decode(dicom_file(GREY * 0)).any()


def test_low_values_are_white_where_the_file_says_so():
    one, other = (decode.decode(dicom_file(GREY, kind)).astype(int) for kind in ("MONOCHROME1", "MONOCHROME2"))
    assert np.abs(one + other - 255).max() <= 1


def test_colours_and_the_first_of_several_frames_are_read():
    np.testing.assert_array_equal(decode.decode(dicom_file(PICTURE, "RGB")), PICTURE)
    frames = np.stack([GREY, GREY[::-1]])
    np.testing.assert_array_equal(decode.decode(dicom_file(frames, NumberOfFrames=2)), decode.decode(dicom_file(GREY)))


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"Rows": 60_000, "Columns": 60_000}, "decompression bomb"),
        ({"Rows": 0}, "no pixels"),
        ({"Rows": 99}, "damaged DICOM"),
    ],
)
def test_what_a_dicom_file_says_of_its_size_is_not_believed(tags, reason):
    with pytest.raises(Unreadable, match=reason):
        decode.decode(dicom_file(GREY, **tags))


def test_a_deflated_file_is_refused_before_it_is_unpacked():
    data = dicom_file(GREY).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99\0")
    with pytest.raises(Unreadable, match="Deflated"):
        decode.decode(data)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 1), byte=st.integers(0, 255), share=st.floats(0, 1))
def test_a_damaged_dicom_file_gives_pixels_or_a_reason(place, byte, share):
    data = bytearray(dicom_file(PICTURE[..., 0] if place else GREY, WindowCenter=40, WindowWidth=80))
    data[132 + int(share * 600)] ^= byte
    for read in (decode.decode, decode.header_size):
        try:
            read(bytes(data))
        except Unreadable as error:
            assert "\n" not in str(error)


def test_a_file_whose_decompressor_is_not_installed_names_it():
    pydicom = pytest.importorskip("pydicom")
    syntax = pydicom.uid.JPEGLSLossless
    if pydicom.pixels.get_decoder(syntax).is_available:
        pytest.skip("a decoder of JPEG-LS is installed")
    made = pydicom.dcmread(io.BytesIO(dicom_file(GREY)))
    made.file_meta.TransferSyntaxUID = syntax
    made.PixelData = pydicom.encaps.encapsulate([bytes(100)])
    out = io.BytesIO()
    made.save_as(out)
    for read in (decode.decode, decode.header_size):
        with pytest.raises(LacksLibrary, match=r"JPEG-LS.* needs pylibjpeg: pip install 'pylibjpeg\[all\]'"):
            read(out.getvalue())


LACKING = {"HEIC": ("a.heic", HEIC, "pillow-heif"), "DICOM": ("a.dcm", bytes(128) + b"DICM" + bytes(50), "pydicom")}


@pytest.fixture
def without_libraries(monkeypatch):
    for name in ("pillow_heif", "pydicom"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)


@pytest.mark.usefixtures("without_libraries")
@pytest.mark.parametrize("kind", LACKING)
def test_the_library_that_is_not_installed_is_named(kind):
    for read in (decode.decode, decode.header_size):
        with pytest.raises(LacksLibrary, match=f"{LACKING[kind][2]}: pip install 'kit\\["):
            read(LACKING[kind][1])


def project(root, kind):
    for name in ("cat", "dog"):
        (root / "raw" / name).mkdir(parents=True)
        (root / "raw" / name / LACKING[kind][0]).write_bytes(LACKING[kind][1])
        for number in range(3):
            noise = np.random.default_rng([number, *name.encode()]).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / "raw" / name / f"{number}.png")


@pytest.mark.usefixtures("without_libraries")
@pytest.mark.parametrize("kind", LACKING)
def test_training_images_without_a_library_are_listed_and_told(tmp_path, kind):
    project(tmp_path, kind)
    said: list[Event] = []
    clean(Layout(tmp_path), parse('[data]\ntrain = "raw"'), said.append)
    assert [line["id"] for line in read_csv(tmp_path / "data/dropped.csv")] == [
        f"{n}/{LACKING[kind][0]}" for n in ("cat", "dog")
    ]
    assert any("2 images" in event.text and "pip install" in event.text for event in said if event.kind == "warn")


@pytest.mark.usefixtures("without_libraries")
@pytest.mark.parametrize("kind", LACKING)
def test_test_images_without_a_library_are_not_replaced_by_black_ones(tmp_path, kind):
    project(tmp_path, kind)
    with pytest.raises(DataError, match="pip install"):
        clean(Layout(tmp_path), parse('[data]\ntrain = "raw"\ntest = "raw"'), lambda event: None)
    assert not (tmp_path / "data/test.npy").exists()


@pytest.mark.usefixtures("without_libraries")
def test_a_set_of_which_nothing_can_be_read_names_the_library(tmp_path):
    project(tmp_path, "DICOM")
    for path in tmp_path.glob("raw/*/*.png"):
        path.unlink()
    for size in ("", "image_size = 16\n"):
        with pytest.raises(DataError, match="pydicom: pip install"):
            clean(Layout(tmp_path), parse(f'[data]\n{size}train = "raw"'), lambda event: None)


def test_installing_the_library_makes_the_data_stale(tmp_path):
    pytest.importorskip("pydicom")
    project(tmp_path, "DICOM")
    for name in ("cat", "dog"):
        (tmp_path / "raw" / name / "a.dcm").write_bytes(dicom_file(GREY[:16, :16]))
    data = parse('[data]\ntrain = "raw"').data
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pydicom", None)
        before = open_source(data, tmp_path, "train").fingerprint
    raw = open_source(data, tmp_path, "train")
    assert raw.fingerprint != before and raw.read(0, len(raw.ids))[1] == {}
