"""What the tests of manifests share."""

from __future__ import annotations

import functools

import kubernetes_validate.utils as schemas
import pytest


@pytest.fixture(scope="session")
def validate():
    """Check an object by the schemas of a version of Kubernetes; no unknown field passes."""
    with pytest.MonkeyPatch.context() as patched:
        # It reads all of them, megabytes, for each object.
        patched.setattr(schemas, "schema_contents", functools.cache(schemas.schema_contents))
        yield functools.partial(schemas.validate, strict=True)
