"""Tables as the hub's own library and others write them."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.common.data.packing import jpeg
from tests.common.data.pictures import encode

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
OBJECTS = pa.struct(
    [("bbox", pa.list_(pa.list_(pa.float32(), 4))), ("category", pa.list_(pa.int64()))]
)


def image(content: bytes | None, path: str | None = None) -> dict:
    return {"bytes": content, "path": path}


def images(count: int, start: int = 0) -> list[dict]:
    """Images that all show something else, 64 × 48 pixels."""
    return [image(jpeg(n), f"{n}.jpg") for n in range(start, start + count)]


def mask(seed: int, values=(0, 1, 2), width: int = 64, height: int = 48) -> bytes:
    """A PNG of numbers, a third of its columns each."""
    pixels = np.zeros((height, width), np.uint8)
    for place, value in enumerate(values):
        pixels[:, place * width // len(values) :] = value
    pixels[seed % height, 0] = values[-1]
    return encode(pixels, "PNG")


def class_label(*names: str) -> dict:
    return {"_type": "ClassLabel", "names": list(names)}


def objects_feature(*names: str) -> dict:
    """As versions 4 and later write it; before, `Sequence` was outside."""
    box = {"_type": "List", "feature": {"_type": "Value", "dtype": "float32"}, "length": 4}
    return {
        "bbox": {"_type": "List", "feature": box},
        "category": {"_type": "List", "feature": class_label(*names)},
    }


def parquet(columns: dict, types: dict | None = None, features: dict | None = None, **options):
    """The bytes of a parquet file."""
    types = types or {}
    table = pa.table(
        {
            name: pa.array(values, types.get(name)) if not isinstance(values, pa.Array) else values
            for name, values in columns.items()
        }
    )
    if features is not None:
        said = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": said})
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def lines(*rows: dict) -> bytes:
    """JSON Lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
