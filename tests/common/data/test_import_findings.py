"""What an import notices about images, tables and splits, on a real S3 server."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.data import findings, importing
from common.data.tool_findings import TOOL_FINDINGS
from common.masks.findings import MASK_FINDINGS
from common.objects.findings import OBJECT_FINDINGS
from nocode.vision.v1 import finding_pb2
from tests.common.data.packing import folders, jpeg, pack_zip
from tests.common.data.pictures import encode, encode_image, picture, rotated_jpeg

FILES = folders(cats=4, dogs=3)


def damaged(content: bytes) -> bytes:
    """A PNG whose pixels are garbled."""
    middle = len(content) // 2
    return (
        content[:middle]
        + bytes(x ^ 0x5A for x in content[middle : middle + 40])
        + content[middle + 40 :]
    )


SIXTEEN_BITS = encode_image(
    Image.fromarray(picture(seed=70)[..., 0].astype(np.uint16) * 257), "PNG"
)
PLAIN = encode(picture(seed=99))

FINDINGS = [
    # id, severity, files added, examples
    ("IMAGE_EMPTY_FILE", "ERROR", {"cats/x.jpg": b""}, ["cats/x.jpg"]),
    ("IMAGE_NOT_AN_IMAGE", "ERROR", {"cats/x.jpg": b"<html>404</html>"}, ["cats/x.jpg"]),
    ("IMAGE_NOT_AN_IMAGE", "ERROR", {"cats/notes.txt": b"hello"}, ["cats/notes.txt"]),
    ("IMAGE_TRUNCATED", "ERROR", {"cats/x.jpg": PLAIN[: len(PLAIN) // 2]}, ["cats/x.jpg"]),
    (
        "IMAGE_UNDECODABLE",
        "ERROR",
        {"cats/x.png": damaged(encode(picture(seed=98), "PNG"))},
        ["cats/x.png"],
    ),
    ("IMAGE_TOO_LARGE", "ERROR", {"cats/x.png": encode(picture(90, 60), "PNG")}, ["cats/x.png"]),
    ("IMAGES_WITHOUT_LABEL", "ERROR", {"x.jpg": PLAIN}, ["x.jpg"]),
    ("CLASSES_WITHOUT_IMAGES", "ERROR", {"cows/1.jpg": b"", "cows/2.jpg": b"?"}, ["cows"]),
    ("CONFLICTING_LABELS", "WARNING", {"dogs/x.jpg": jpeg(0)}, ["cats/0000.jpg", "dogs/x.jpg"]),
    (
        "CONFLICTING_LABELS_NEAR",
        "WARNING",
        {"dogs/x.jpg": jpeg(0, quality=40)},
        ["cats/0000.jpg", "dogs/x.jpg"],
    ),
    ("EXACT_DUPLICATES", "WARNING", {"cats/x.jpg": jpeg(0)}, ["cats/x.jpg"]),
    ("NEAR_DUPLICATES", "WARNING", {"cats/x.jpg": jpeg(0, quality=40)}, ["cats/x.jpg"]),
    ("CLASS_TOO_SMALL", "WARNING", {"cows/1.jpg": jpeg(50), "cows/2.jpg": jpeg(51)}, ["cows"]),
    (
        "CLASS_IMBALANCE",
        "WARNING",
        {f"cats/x{i}.jpg": jpeg(100 + i) for i in range(26)},
        ["cats: 30", "dogs: 3"],
    ),
    (
        "CLASS_NAMES_ALIKE",
        "WARNING",
        {f"Cats /{i}.jpg": jpeg(50 + i) for i in range(3)},
        ["Cats ", "cats"],
    ),
    ("NESTED_ARCHIVES", "WARNING", {"more.zip": b"PK"}, ["more.zip"]),
    ("EMPTY_FOLDERS", "WARNING", {"cows/": b""}, ["cows"]),
    ("FOLDERS_IGNORED", "INFO", {"cows/notes.txt": b"hello"}, ["cows"]),
    (
        "EXIF_ROTATED",
        "INFO",
        {"cats/x.jpg": rotated_jpeg(picture(48, 64, seed=50), 6)},
        ["cats/x.jpg"],
    ),
    ("GREY_IMAGES", "INFO", {"cats/x.jpg": encode(picture(seed=50)[..., 0])}, ["cats/x.jpg"]),
    (
        "ALPHA_IMAGES",
        "INFO",
        {"cats/x.png": encode_image(Image.fromarray(picture(seed=50)).convert("RGBA"), "PNG")},
        ["cats/x.png"],
    ),
    ("DEEP_IMAGES", "INFO", {"cats/x.png": SIXTEEN_BITS}, ["cats/x.png"]),
    (
        "CMYK_IMAGES",
        "INFO",
        {"cats/x.jpg": encode_image(Image.fromarray(picture(seed=50)).convert("CMYK"), "JPEG")},
        ["cats/x.jpg"],
    ),
    (
        "MIXED_SIZES",
        "INFO",
        {"cats/x.jpg": encode(picture(50, 40, seed=50))},
        ["64 × 48: 7", "50 × 40: 1"],
    ),
]


@pytest.mark.parametrize(
    ("finding", "severity", "added", "examples"), FINDINGS, ids=[case[0] for case in FINDINGS]
)
def test_finding(finding, severity, added, examples, import_archive):
    """Each is found, and what it is about is named."""
    imported = import_archive.with_settings(max_image_pixels=5000)(pack_zip(FILES | added))

    (found,) = [f for f in imported.dataset.findings if f.id == finding]
    assert found.severity == getattr(finding_pb2.Finding, f"SEVERITY_{severity}")
    assert list(found.examples) == examples
    assert found.message.endswith(".")
    assert "{" not in found.message
    if severity == "ERROR":
        left_out = {file for file in added if not file.endswith("/")}
        assert not left_out & set(imported.labels)


def test_findings_of_tables(import_archive):
    """Those that only a table can have."""
    files = {f"{i}.jpg": jpeg(i) for i in range(8)}
    rows = "".join(f"{i}.jpg,{'ab'[i % 2]}\n" for i in range(6))
    table = f"file,label\n{rows}0.jpg,a\n6.jpg,\nx.jpg,a\n"

    imported = import_archive(
        pack_zip(files | {"labels.csv": table.encode(), "other.csv": b"a,b,c\n"})
    )

    assert imported.findings == {
        "IMAGES_NOT_LISTED": ["6.jpg", "7.jpg"],
        "LISTED_FILES_MISSING": ["labels.csv, row 10: x.jpg"],
        "ROWS_WITHOUT_LABEL": ["labels.csv, row 9: 6.jpg"],
        "ROWS_REPEATED": ["labels.csv, row 8: 0.jpg"],
        "TABLES_IGNORED": ["other.csv"],
    }
    # 6.jpg, 7.jpg and x.jpg; the row without a label is 6.jpg once more
    assert imported.dataset.skipped_count == 3


def test_images_outside_the_class_folders_are_counted_as_skipped(import_archive):
    """Beside those that cannot be used."""
    loose = {f"{i}.jpg": jpeg(50 + i) for i in range(10)}

    imported = import_archive(pack_zip(FILES | loose | {"cats/x.jpg": b"?"}))

    assert imported.dataset.image_count == len(FILES)
    assert imported.dataset.skipped_count == 11


def test_findings_of_given_splits(import_archive):
    """A copy on the other side, and a class that cannot be learned."""
    files = {f"train/{name}": content for name, content in folders(a=3, b=3).items()}
    files |= {f"test/{name}/{i}.jpg": jpeg(50 + i) for i, name in enumerate("abc")}
    files["test/a/copy.jpg"] = encode(picture(seed=0), quality=40)

    findings = import_archive(pack_zip(files)).findings

    assert findings["DUPLICATES_ACROSS_SPLITS"] == ["test/a/copy.jpg"]
    assert findings["CLASS_NOT_IN_TRAIN"] == ["c"]


def test_every_finding_of_tools_is_looked_at():
    """Some test of a format names it."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))

    assert [name for name in TOOL_FINDINGS if f'"{name}"' not in tests] == []


def test_every_finding_is_provoked():
    """What an import can find is found in a test above; other ids are those of splits and jobs."""
    folder = Path(importing.__file__).parent
    sources = [
        path.read_text()
        for pattern in ("archive*.py", "checks.py", "images.py", "importing.py", "formats/*.py")
        for path in folder.glob(pattern)
    ]
    named = {name for text in sources for name in re.findall('"([A-Z_]{8,})"', text)}
    provoked = {case[0] for case in FINDINGS}
    provoked |= {"IMAGES_NOT_LISTED", "LISTED_FILES_MISSING", "ROWS_WITHOUT_LABEL"}
    provoked |= {"ROWS_REPEATED", "TABLES_IGNORED"}
    provoked |= {"DUPLICATES_ACROSS_SPLITS", "CLASS_NOT_IN_TRAIN"}

    # Those of objects, masks and tools are provoked in the tests of their formats and of their own.
    elsewhere = set(OBJECT_FINDINGS) | set(MASK_FINDINGS) | set(TOOL_FINDINGS)
    assert provoked == named & (set(findings.FINDINGS) - elsewhere)


def test_findings_are_short_and_most_severe_first(import_archive):
    """However many files are concerned; the count is right all the same."""
    files = FILES | {f"cats/x{i:03}.jpg": b"?" for i in range(50)} | {"dogs/x.jpg": jpeg(4)}

    found = import_archive(pack_zip(files)).dataset.findings

    assert [f.id for f in found] == ["IMAGE_NOT_AN_IMAGE", "EXACT_DUPLICATES"]
    assert found[0].count == 50
    assert list(found[0].examples) == [f"cats/x{i:03}.jpg" for i in range(20)]
