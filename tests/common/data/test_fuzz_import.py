"""Hostile and broken input: the import may refuse it, and nothing else may happen."""

import csv
import io
import random
import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from common.data.archives import Limits, unpack
from common.data.findings import Report
from common.data.formats.csv_table import CsvTable
from common.data.images import decode
from common.data.tree import Member, Tree
from common.errors import InvalidInput
from tests.common.data.packing import folders, pack_tar, pack_zip
from tests.common.data.pictures import encode, encode_image, picture, rotated_jpeg

# Pillow warns of damaged metadata, which is what these images have.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

IMAGE_COUNT = 1000
ARCHIVE_COUNT = 200
MAX_PIXELS = 4_000_000

PIXELS = picture(seed=1)
PILLOW = Image.fromarray(PIXELS)
DEEP = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
IMAGES = [
    encode(PIXELS, "JPEG"),
    encode(PIXELS, "JPEG", progressive=True),
    encode_image(PILLOW.convert("CMYK"), "JPEG"),
    rotated_jpeg(PIXELS, 6),
    encode(PIXELS, "PNG"),
    encode_image(PILLOW.convert("RGBA"), "PNG"),
    encode_image(PILLOW.convert("P"), "PNG"),
    encode_image(DEEP, "PNG"),
    encode_image(PILLOW.convert("P"), "GIF"),
    encode(PIXELS, "BMP"),
    encode(PIXELS, "TIFF"),
    encode(PIXELS, "TIFF", compression="tiff_lzw"),
    encode_image(DEEP, "TIFF", compression="tiff_adobe_deflate"),
    encode(PIXELS, "WEBP"),
    encode(PIXELS, "WEBP", lossless=True),
]
FILES = folders(cats=3, dogs=3)
ARCHIVES = [
    pack_zip(FILES),
    pack_tar(FILES),
    pack_tar(FILES, "w:gz"),
    pack_zip({"t.csv": b"file,label\n1.jpg,a\n2.jpg,b\n", "1.jpg": IMAGES[0], "2.jpg": IMAGES[4]}),
]


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Damage that disks, networks, programs and people do."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        start = chance.randrange(len(data) + 1)
        # Headers are short, and where most can go wrong.
        if chance.random() < 0.5:
            start = chance.randrange(min(len(data), 200) + 1)
        end = start + chance.choice([1, 1, 2, 4, 30, 500])
        kind = chance.randrange(6)
        if kind == 0:
            data[start:end] = chance.randbytes(len(data[start:end]))
        elif kind == 1:
            data[start:end] = bytes([chance.choice([0, 0x7F, 0xFF])]) * len(data[start:end])
        elif kind == 2:
            del data[start:end]
        elif kind == 3:
            data[start:start] = data[start:end]
        elif kind == 4 and chance.random() < 0.3:
            del data[start:]
        elif start < len(data):
            data[start] ^= 1 << chance.randrange(8)
    return bytes(data)


def test_mutated_images(import_archive):
    """Each is used or left out with a reason; what is used can be decoded again."""
    chance = random.Random(0)
    files = dict(FILES)
    for number in range(IMAGE_COUNT):
        kind = chance.choice(("cats", "dogs"))
        files[f"{kind}/m{number}.jpg"] = mutated(chance.choice(IMAGES), chance)

    imported = import_archive.with_settings(max_image_pixels=MAX_PIXELS)(pack_zip(files))

    dataset = imported.dataset
    left_out = sum(f.count for f in dataset.findings if f.id.startswith("IMAGE_"))
    assert dataset.skipped_count == left_out
    assert dataset.image_count + left_out == len(files)
    assert 100 < left_out < IMAGE_COUNT - 100
    for entry, data in zip(
        imported.entries, imported.reader.read_many(imported.entries), strict=True
    ):
        height, width, _ = decode(data, max_pixels=MAX_PIXELS).shape
        assert (entry.width, entry.height) == (width, height)


def test_mutated_archives(import_archive):
    """Each is imported or refused; nothing is left of those refused."""
    chance = random.Random(0)
    refused, imported = [], set()
    importer = import_archive.with_settings(max_image_pixels=MAX_PIXELS, max_unpacked_bytes=10**8)
    for number in range(ARCHIVE_COUNT):
        archive = mutated(ARCHIVES[number % len(ARCHIVES)], chance)
        try:
            imported.add(importer(archive).dataset.name)
        except InvalidInput as error:  # any other error says that something broke
            refused.append(error.reason)

    assert len(refused) > ARCHIVE_COUNT // 4
    assert len(imported) > ARCHIVE_COUNT // 20
    left = {key for key in importer.left_behind() if "/index/" not in key}
    assert {"/".join(key.split("/")[:4]) for key in left} == imported


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.sampled_from("ab./\\:C~é\u0301 \n%"), min_size=1, max_size=12),
    pack=st.sampled_from([pack_zip, pack_tar]),
)
def test_no_name_leads_anywhere(name, pack, tmp_path):
    """Whatever a file is called: it is refused, ignored, or a plain path below the top."""
    (tmp_path / "archive").write_bytes(pack({name: b"1"}))
    limits = Limits(unpacked_bytes=100_000, members=10)
    try:
        with unpack(tmp_path / "archive", tmp_path / "blob", limits, Report()) as tree:
            paths = tree.files
    except InvalidInput:
        return
    for path in paths:
        assert all(part not in {"", ".", ".."} for part in path.split("/"))
        assert "\\" not in path
        assert not (len(path) > 1 and path[1] == ":" and path[0].isascii() and path[0].isalpha())
    assert sorted(item.name for item in tmp_path.iterdir()) == ["archive", "blob"]


CELLS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), max_size=15
)
NAMES = CELLS.map(lambda text: text.strip().strip(".")).filter(bool)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.dictionaries(NAMES, st.tuples(NAMES, CELLS), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    order=st.permutations(["file", "label", "note"]),
)
def test_whatever_a_spreadsheet_writes_is_read(rows, delimiter, encoding, order, tmp_path):
    """Delimiters, quotes and any letters in cells; columns in any order."""
    text = io.StringIO()
    writer = csv.DictWriter(text, order, delimiter=delimiter)
    writer.writeheader()
    for file, (label, note) in rows.items():
        writer.writerow({"file": f"{file}.jpg", "label": label, "note": note})
    table = text.getvalue().encode(encoding)
    (tmp_path / "blob").write_bytes(table)
    members = {f"{_nfc(file)}.jpg": Member(0, 0) for file in rows}
    tree = Tree(tmp_path / "blob", members | {"t.csv": Member(0, len(table))})

    reading = CsvTable().read(tree, Report(), max_records=100)

    read = {(r.file, reading.classes[r.annotation["label"]]) for r in reading.records}
    assert read == {(f"{_nfc(file)}.jpg", _nfc(label)) for file, (label, _) in rows.items()}


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("archive", range(len(ARCHIVES)))
def test_unharmed_archives_are_imported(archive, import_archive):
    """What is mutated above is right to begin with."""
    assert import_archive(ARCHIVES[archive]).dataset.image_count in {2, 6}
