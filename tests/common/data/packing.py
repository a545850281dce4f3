"""Archives for tests, in memory."""

import io
import tarfile
import zipfile

from tests.common.data.pictures import encode, picture


def jpeg(seed: int, **options) -> bytes:
    """A JPEG that shows something else for each seed."""
    return encode(picture(seed=seed), **options)


def folders(**count_of_class: int) -> dict[str, bytes]:
    """Files in a folder a class; no two images show the same."""
    files = {}
    for name, count in count_of_class.items():
        for _ in range(count):
            files[f"{name}/{len(files):04}.jpg"] = jpeg(len(files))
    return files


def pack_zip(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip; a name that ends in a slash is a folder."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def pack_tar(files: dict[str, bytes], mode: str = "w", kind: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar, or a tar.gz with the mode `w:gz`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode, format=kind) as archive:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            if name.endswith("/"):
                header.type = tarfile.DIRTYPE
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return packed.getvalue()


def pack_tar_header(header: tarfile.TarInfo) -> bytes:
    """A tar of one member that has no content."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(header)
    return packed.getvalue()
