"""Files as programs that label images write them."""

from types import SimpleNamespace

BOX = b"0 0.5 0.5 0.5 0.25\n"
"""A line of YOLO, and its box."""
SAME = (0.25, 0.375, 0.75, 0.625)


def thing(name="cat", box=(1, 2, 30, 40), more=""):
    """An `<object>`."""
    sides = "".join(
        f"<{side}>{value}</{side}>"
        for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{sides}</bndbox></object>"


def xml(*things: str, filename="", more="") -> bytes:
    """An annotation of an image of 100 × 80 pixels."""
    named = f"<filename>{filename}</filename>" if filename else ""
    size = "<size><width>100</width><height>80</height><depth>3</depth></size>"
    return f"<annotation>{named}{more}{size}{''.join(things)}</annotation>".encode()


def info():
    """An image of 100 × 80 pixels, as the import knows it."""
    return SimpleNamespace(width=100, height=80, orientation=1)
