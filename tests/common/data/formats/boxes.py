"""What a format of boxes makes of a tree, as tests compare it."""

from common.data.findings import Report


def read_boxes(format_, tree, max_records=1000):
    """Return each file's objects as (class, *box), its split, and the findings' examples."""
    report = Report()
    reading = format_.read(tree, report, max_records=max_records)
    files = [record.file for record in reading.records]
    assert files == sorted(set(files))
    objects = {
        record.file: [(reading.classes[one.label], *one.box) for one in record.annotation.objects]
        for record in reading.records
    }
    splits = {record.file: record.split for record in reading.records}
    return objects, splits, {f.id: list(f.examples) for f in report.findings()}
