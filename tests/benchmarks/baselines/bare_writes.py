"""The same bytes stored with nothing around them: no digest, no name that says it, no commit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["write_files", "write_objects"]


def write_files(folder: Path, blobs: Sequence[bytes]) -> None:
    """One file a blob, each on disk before the next."""
    for index, blob in enumerate(blobs):
        with (folder / f"{index:06d}.parquet").open("xb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())


def write_objects(client: Any, bucket: str, prefix: str, blobs: Sequence[bytes]) -> None:
    """One S3 object a blob, through a boto3 client."""
    for index, blob in enumerate(blobs):
        client.put_object(Bucket=bucket, Key=f"{prefix}/{index:06d}.parquet", Body=blob)
