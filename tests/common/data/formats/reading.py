"""What readers of tools' exports make of a tree, as tests compare it."""

from common.data.findings import Report


def pictures_of(reader, tree, max_records=1000):
    """Return the pictures by their files, the classes that are named, and findings' examples."""
    report = Report()
    read = reader.read(tree, report, max_records=max_records)
    pictures = list(read.pictures)
    by_file = {picture.file: picture for picture in pictures}
    assert len(by_file) == len(pictures)
    return by_file, read.classes, {f.id: list(f.examples) for f in report.findings()}


def boxes(picture):
    """Return (class, *box) of each shape with a box, rounded; None for those without."""
    return [
        (shape.label, *(round(side, 6) for side in shape.box)) if shape.box else None
        for shape in picture.shapes
    ]


def around(shape):
    """Return the box around an outline, rounded to a tenth of a pixel."""
    return tuple(round(side, 1) for side in shape.outline.bounds())
