"""The stores that other processes can reach: a folder, and SeaweedFS."""

from __future__ import annotations

from pathlib import Path

import pytest

from augment.objects import s3


@pytest.fixture(params=["local", "seaweedfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place that several processes share. All S3 stores of this process use one client."""
    if request.param == "local":
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        return str(tmp_path / "store")
    uri: str = request.getfixturevalue("s3_uri")
    client = s3._s3_client(uri)
    monkeypatch.setattr(s3, "_s3_client", lambda uri: client)
    return uri
