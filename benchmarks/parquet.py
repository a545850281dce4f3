"""What an import of many rows of parquet takes: `python -m benchmarks.parquet --rows 100000`.

Makes parquet files of small JPEGs as the Hugging Face hub has them, imports them in a worker as a
service starts it, and prints the worker's peak memory and its speed beside that of decoding the
same images and doing nothing else. With `--one-group`, all rows of a file are in one group, as
programs write them that do not think of images.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.import_memory import (
    CLASS_COUNT,
    DECODED,
    MAX_MEMORY_BYTES,
    Cost,
    measure_decoding,
    measure_import,
)
from common.settings import MIB
from deploy.local.embedded_s3 import EmbeddedS3

_FILES = 4
_BATCH = 1000


def main() -> None:
    """Measure, print, and exit with status 1 if the import took more memory than promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--one-group", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedS3() as s3:
        archive = Path(folder) / "archive.tar"
        print(f"making {options.rows} rows with JPEGs of {options.side} × {options.side} pixels")
        sample = make_archive(archive, options.rows, options.side, one_group=options.one_group)
        print(f"archive: {archive.stat().st_size / MIB:.0f} MiB")
        total, memory_bytes = measure_import(archive, s3.settings, Path(folder))
        decoded = measure_decoding(sample)
    imported = Cost(total.seconds / options.rows, total.cpu_seconds / options.rows)
    for what, cost in (("import", imported), ("decoding alone", decoded)):
        print(f"{what}: {1 / cost.seconds:.0f} rows/s, {cost.cpu_seconds * 1000:.2f} ms CPU each")
    print(f"speed, import to decoding alone: {decoded.seconds / imported.seconds:.2f}")
    print(f"CPU, decoding alone to import: {decoded.cpu_seconds / imported.cpu_seconds:.2f}")
    print(f"peak memory of the worker: {memory_bytes / MIB:.0f} MiB (promised: 600 MiB)")
    sys.exit(memory_bytes > MAX_MEMORY_BYTES)


def make_archive(path: Path, rows: int, side: int, *, one_group: bool) -> list[bytes]:
    """Write a tar of parquet files and return some of the images in them."""
    rng = np.random.default_rng(0)
    sample: list[bytes] = []
    names = [f"class {number:02}" for number in range(CLASS_COUNT)]
    features = {"label": {"_type": "ClassLabel", "names": names}}
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("image", image_type), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    with tarfile.open(path, "w") as archive:
        for number in range(_FILES):
            count = rows // _FILES + (number < rows % _FILES)
            part = path.with_suffix(f".{number}.parquet")
            tables = []
            with pq.ParquetWriter(part, schema) as writer:
                for start in range(0, count, _BATCH):
                    images = [_jpeg(rng, side) for _ in range(min(_BATCH, count - start))]
                    sample += images[: max(0, DECODED - len(sample))]
                    columns = {
                        "image": [{"bytes": one, "path": f"{start}.jpg"} for one in images],
                        "label": [at % CLASS_COUNT for at in range(len(images))],
                    }
                    table = pa.table(columns, schema=schema)
                    if one_group:
                        tables.append(table)
                    else:
                        writer.write_table(table, row_group_size=100)
                if one_group:
                    writer.write_table(pa.concat_tables(tables), row_group_size=count)
            archive.add(part, f"data/train-{number:05}-of-{_FILES:05}.parquet")
            part.unlink()
    return sample


def _jpeg(rng: np.random.Generator, side: int) -> bytes:
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    soft = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    soft.save(encoded, "JPEG", quality=90)
    return encoded.getvalue()


if __name__ == "__main__":
    main()
