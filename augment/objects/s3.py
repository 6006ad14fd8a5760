"""S3, or a server that speaks it, as an object store.

Owns the requests, their retries, and the mapping of S3's answers to errors a user can act on. The client is
built in the process that uses it and is never pickled: a store travels as its URI, credentials not at all.
The server must honour `If-None-Match: *` on PUT, on which the commit protocol rests.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from augment.errors import AugmentError, ConfigError, IntegrityError, RetryLaterError
from augment.objects.contract import ObjectNotFoundError, StoredObject, checked_key

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError
    from mypy_boto3_s3 import S3Client

__all__ = ["S3Store"]

T = TypeVar("T")

_ATTEMPTS = 7  # of one request, all transient failures together
_FIRST_BACKOFF_S = 0.2  # doubles every time, with jitter: about 12 s in all
_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60
_POOL_CONNECTIONS = 32
_PAGE_KEYS = 1000  # the most that S3 lists at once
_DELETED_KEYS = 1000  # the most that it deletes at once

_TRANSIENT_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})  # 409: a race; not 'it exists'
_NO_SUCH_REQUEST = frozenset({400, 405, 501})
_TRANSIENT_CODES = frozenset(
    {
        "RequestTimeout",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalError",
    }
)


class S3Store:
    """A bucket and prefix of S3, or of a server that speaks it and honours `If-None-Match: *` on PUT."""

    def __init__(self, location: str) -> None:
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigError("an s3:// URI needs a bucket: s3://bucket/prefix")
        prefix = prefix.strip("/")
        self.uri = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._base = f"{prefix}/" if prefix else ""
        self._lock = threading.Lock()
        self._built: tuple[int, S3Client] | None = None  # a client does not survive a fork

    def __reduce__(self) -> tuple[type[S3Store], tuple[str]]:
        return S3Store, (self.uri,)

    def __repr__(self) -> str:
        return f"S3Store({self.uri!r})"

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore."""
        from botocore.exceptions import ClientError

        def write() -> bool:
            try:
                self._client.put_object(**self._body(key, data), IfNoneMatch="*")
            except ClientError as error:
                if _http_status(error) == 412:
                    return False
                raise
            return True

        return self._attempt(checked_key(key), write)

    def put(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        self._attempt(checked_key(key), lambda: self._client.put_object(**self._body(key, data)))

    def get(self, key: str) -> bytes:
        """See ObjectStore."""
        full_key = self._base + key
        return self._attempt(
            key, lambda: self._client.get_object(Bucket=self._bucket, Key=full_key)["Body"].read()
        )

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """See ObjectStore."""
        from botocore.exceptions import ClientError

        def read() -> bytes:
            try:
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=self._base + key, Range=f"bytes={start}-{max(start, stop - 1)}"
                )
            except ClientError as error:
                if _http_status(error) == 416:  # the object ends before `start`
                    return b""
                raise
            return answer["Body"].read()[: stop - start]

        return self._attempt(key, read)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """See ObjectStore. The markers that consoles create for empty folders are left out."""
        request: dict[str, Any] = {
            "Bucket": self._bucket,
            "Prefix": self._base + prefix,
            "MaxKeys": _PAGE_KEYS,
        }
        while True:
            page = self._attempt(prefix, lambda: self._client.list_objects_v2(**request))
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):
                    yield StoredObject(
                        item["Key"][len(self._base) :],
                        item["Size"],
                        item["LastModified"].timestamp(),
                        item["ETag"].strip('"'),
                    )
            if not page["IsTruncated"]:
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        self._attempt(key, lambda: self._client.delete_object(Bucket=self._bucket, Key=self._base + key))

    def delete_all(self, keys: Iterable[str]) -> None:
        """See ObjectStore. Up to 1,000 keys a request; what such a request leaves is deleted one by one."""
        waiting = iter(keys)
        while some := list(islice(waiting, _DELETED_KEYS)):
            for key in self._not_deleted(some):
                self.delete(key)  # with tries of its own, and an error that names it

    def _not_deleted(self, keys: Sequence[str]) -> Sequence[str]:
        """Delete `keys` by one request; those that it left.

        That is all of them where a server has no such request, or wants another checksum or plainer names.
        """
        from botocore.exceptions import ClientError

        def request() -> Sequence[str]:
            try:
                answer = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": self._base + key} for key in keys], "Quiet": True},
                )
            except ClientError as error:
                if _http_status(error) in _NO_SUCH_REQUEST:
                    return keys
                raise
            return [error["Key"][len(self._base) :] for error in answer.get("Errors", [])]

        return self._attempt(keys[0], request)

    def uri_of(self, key: str) -> str:
        """See ObjectStore."""
        return f"{self.uri}/{key}"

    def refuses_wrong_checksum(self, key: str) -> bool:
        """Whether the server turns away bytes that differ from their checksum; if not, `key` is there now."""
        from botocore.exceptions import ClientError

        other = self._body(key, b"other bytes")["ChecksumSHA256"]

        def write() -> bool:
            try:
                self._client.put_object(**self._body(key, b"bytes") | {"ChecksumSHA256": other})
            except ClientError as error:
                if _http_status(error) == 400:
                    return True
                raise
            return False

        return self._attempt(checked_key(key), write)

    def _body(self, key: str, data: bytes) -> dict[str, Any]:
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        return {"Bucket": self._bucket, "Key": self._base + key, "Body": data, "ChecksumSHA256": checksum}

    def _attempt(self, key: str, request: Callable[[], T]) -> T:
        """The request's answer, trying again on transient failures; else the failure as one of ours."""
        from botocore.exceptions import BotoCoreError, ClientError

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return request()
            except (BotoCoreError, ClientError) as error:
                failure = _s3_failure(error, self.uri_of(key))
                if attempt == _ATTEMPTS or not isinstance(failure, RetryLaterError):
                    raise failure from error
            time.sleep(_FIRST_BACKOFF_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError("the last attempt returns or raises")

    @property
    def _client(self) -> S3Client:
        with self._lock:
            if self._built is None or self._built[0] != os.getpid():
                self._built = (os.getpid(), _s3_client(self.uri))
            return self._built[1]


def _s3_client(uri: str) -> S3Client:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        max_pool_connections=_POOL_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": 1},  # S3Store._attempt retries, bodies included
        request_checksum_calculation="when_required",  # we send SHA-256; older servers refuse trailing CRCs
    )
    try:
        client = boto3.session.Session().client("s3", config=config)
    except ValueError as error:
        if "endpoint" not in str(error).lower():
            raise
        # not chained: botocore's message repeats the endpoint, with any password in it
        raise ConfigError(f"{uri}: AWS_ENDPOINT_URL is not a valid URL such as https://host:port") from None
    if "@" in client.meta.endpoint_url:
        raise ConfigError(f"{uri}: AWS_ENDPOINT_URL holds credentials before '@'; remove them")
    return client


def _http_status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _s3_failure(error: BotoCoreError | ClientError, where: str) -> AugmentError:
    """The failure as a user should hear it; RetryLaterError marks those worth another attempt."""
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        return _s3_refusal(str(error.response.get("Error", {}).get("Code", "")), _http_status(error), where)
    if isinstance(error, (boto.SSLError, boto.ProxyConnectionError)):
        return ConfigError(
            f"{where}: {type(error).__name__}; check AWS_ENDPOINT_URL, AWS_CA_BUNDLE and proxies"
        )
    transient = (
        boto.ConnectionError,
        boto.HTTPClientError,
        boto.ResponseStreamingError,
        boto.IncompleteReadError,
    )
    if isinstance(error, transient):
        return RetryLaterError(f"{where}: the store did not answer ({type(error).__name__}); try again later")
    if isinstance(error, boto.FlexibleChecksumError):
        return IntegrityError(f"{where}: its bytes do not match the checksum the store keeps for them")
    if isinstance(error, boto.ParamValidationError):
        return ConfigError(f"{where}: S3 cannot take this bucket name or key")
    return ConfigError(  # credentials, profile, region: what the standard chain could not settle
        f"{where}: {type(error).__name__}; check the AWS credentials, profile and region "
        "(AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_REGION)"
    )


def _s3_refusal(code: str, status: int, where: str) -> AugmentError:
    if code == "NoSuchBucket":
        return ConfigError(f"{where}: the bucket does not exist; create it or correct the URI")
    if status == 404:
        return ObjectNotFoundError(f"{where} does not exist")
    if code in _TRANSIENT_CODES or status in _TRANSIENT_STATUS:
        return RetryLaterError(f"{where}: the store is busy or failing ({status} {code}); try again later")
    if status in (401, 403) or code in ("ExpiredToken", "InvalidToken"):
        return ConfigError(
            f"{where}: access denied ({status} {code}); check the AWS credentials and that they may read, "
            "list, write and delete there"
        )
    if status == 301 or code == "AuthorizationHeaderMalformed":
        return ConfigError(f"{where}: the bucket lies in another region ({status} {code}); set AWS_REGION")
    if status == 501:
        return ConfigError(f"{where}: the store lacks a feature this needs, such as If-None-Match ({code})")
    return ConfigError(
        f"{where}: the store refused the request ({status} {code}); check the URI and endpoint"
    )
