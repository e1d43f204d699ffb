"""The kinds of object stores, by how their addresses begin."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scheme:
    """One kind of object store.

    Attributes:
        client: The `ObjectClient` for it, as ``module:name``; its extra is called as the scheme.
        settings: How environment variables begin that it reads when it is made.
    """

    client: str
    settings: tuple[str, ...]


SCHEMES = {
    "s3": Scheme("featx.objects.s3:S3Client", ("AWS_", "FSSPEC_")),
    "gs": Scheme(
        "featx.objects.gs:GSClient",
        ("GOOGLE_", "CLOUDSDK_", "GCE_", "NO_GCE_CHECK", "STORAGE_EMULATOR_HOST"),
    ),
}
