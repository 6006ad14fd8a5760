"""S3 in trouble: lost answers, throttling, refusals, and secrets that must not travel."""

from __future__ import annotations

import pickle
import socket
import traceback
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError

from augment.errors import AugmentError, ConfigError, RetryLaterError
from augment.objects import S3Store, open_store
from tests.servers import Fault, FaultyProxy, SeaweedServer

Behind = Callable[[Fault], S3Store]


@pytest.fixture
def behind(seaweed: SeaweedServer, s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behind]:
    """A store on SeaweedFS behind a proxy with the given fault; backoff takes no time."""
    monkeypatch.setattr("augment.objects.s3._FIRST_BACKOFF_S", 0.0)
    proxies: list[FaultyProxy] = []

    def make(fault: Fault) -> S3Store:
        proxies.append(FaultyProxy(seaweed.endpoint, fault))
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxies[-1].endpoint)
        return S3Store(s3_uri)

    yield make
    for proxy in proxies:
        proxy.close()


def first(times: int, action: str) -> Fault:
    """`action` for the first requests, then `pass`."""
    requests = count()
    return lambda method, path: action if next(requests) < times else "pass"


def test_a_lost_acknowledgement_reads_as_existing_and_our_bytes_are_there(behind: Behind) -> None:
    store = behind(first(1, "lose"))
    assert not store.put_if_absent("key", b"ours")
    assert store.get("key") == b"ours"


@pytest.mark.parametrize("status", ["409", "429", "500", "503"])
def test_a_passing_failure_is_tried_again(behind: Behind, status: str) -> None:
    store = behind(first(3, status))
    assert store.put_if_absent("key", b"ours")


def test_a_body_that_breaks_off_is_read_again(behind: Behind) -> None:
    gets = count()
    store = behind(lambda method, path: "cut" if method == "GET" and next(gets) < 2 else "pass")
    store.put("key", b"x" * 100_000)
    assert store.get("key") == b"x" * 100_000


def test_a_listing_goes_on_after_a_failed_page(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augment.objects.s3._PAGE_KEYS", 2)
    gets = count()
    store = behind(lambda method, path: "503" if method == "GET" and next(gets) in (1, 3) else "pass")
    for index in range(6):
        store.put(f"k{index}", b"")
    assert [found.key for found in store.list()] == [f"k{index}" for index in range(6)]


def test_many_are_deleted_by_few_requests_which_are_tried_again(behind: Behind) -> None:
    requests: list[tuple[str, str]] = []

    def fault(method: str, path: str) -> str:
        requests.append((method, path))
        return "503" if len(requests) == 4 else "pass"

    store = behind(fault)
    keys = ["a", "b", "c"]
    for key in keys:
        store.put(key, b"")
    store.delete_all(keys)
    assert [method for method, _ in requests] == ["PUT"] * 3 + ["POST"] * 2
    assert all("?delete" in path for _, path in requests[3:])
    assert list(store.list()) == []


@pytest.mark.parametrize("status", ["400", "405", "501"])
def test_a_server_that_deletes_one_at_a_time_alone_is_asked_so(behind: Behind, status: str) -> None:
    store = behind(lambda method, path: status if method == "POST" else "pass")
    for key in ("a", "b"):
        store.put(key, b"")
    store.delete_all(["a", "b"])
    assert list(store.list()) == []


def test_a_key_that_may_not_be_deleted_is_named_and_one_that_could_not_be_is_tried_again(
    s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As AWS answers: 200, and an error for each key that is still there."""
    store = S3Store(s3_uri)
    keys = ["data/gone", "data/busy", "data/kept"]
    for key in keys:
        store.put(key, b"")
    client = store._client
    base = store.uri.removeprefix("s3://").partition("/")[2]

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def delete_objects(self, **request: Any) -> Any:
            client.delete_object(Bucket=request["Bucket"], Key=request["Delete"]["Objects"][0]["Key"])
            codes = {"data/busy": "InternalError", "data/kept": "AccessDenied"}
            return {"Errors": [{"Key": f"{base}/{key}", "Code": code} for key, code in codes.items()]}

        def delete_object(self, **request: Any) -> Any:
            if request["Key"].endswith("data/kept"):
                refused = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
                raise ClientError(refused, "DeleteObject")
            return client.delete_object(**request)

    monkeypatch.setattr(S3Store, "_client", Refusing())
    with pytest.raises(ConfigError, match=r"/data/kept: access denied"):
        store.delete_all(keys)
    assert [found.key for found in store.list()] == ["data/kept"]


def test_a_store_that_stays_busy_asks_to_try_later(behind: Behind) -> None:
    store = behind(lambda method, path: "503")
    with pytest.raises(RetryLaterError, match=r"s3://bucket-x/.*key.*503"):
        store.put_if_absent("key", b"")


def test_a_race_that_never_settles_is_not_taken_for_existing(behind: Behind) -> None:
    store = behind(lambda method, path: "409")
    with pytest.raises(RetryLaterError, match="409"):
        store.put_if_absent("key", b"")


def test_a_server_that_is_not_there_asks_to_try_later(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setattr("augment.objects.s3._FIRST_BACKOFF_S", 0.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(RetryLaterError, match="did not answer"):
        open_store(s3_uri).get("key")


def test_a_bucket_that_does_not_exist_is_named(s3_uri: str) -> None:
    store = open_store("s3://no-such-bucket-here/prefix")
    for call in (lambda: store.put_if_absent("key", b""), lambda: list(store.list())):
        with pytest.raises(ConfigError, match=r"no-such-bucket-here.*bucket does not exist"):
            call()


def test_missing_credentials_are_named(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigError, match=r"s3://bucket-x.*NoCredentialsError.*AWS_PROFILE"):
        open_store(s3_uri).get("key")


def test_an_unknown_profile_is_named(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match="ProfileNotFound"):
        open_store(s3_uri).get("key")


def test_an_endpoint_that_is_no_url_is_named(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL"):
        open_store(s3_uri).get("key")


def test_no_secret_is_in_a_pickle_or_an_error(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "canary" + "0123456789abcdef" * 2
    store = open_store(s3_uri)
    store.put("key", b"")  # its client is built, with the good secret
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", canary)
    denied = open_store(s3_uri)
    with pytest.raises(ConfigError, match="access denied") as caught:
        denied.get("key")
    shown = "".join(traceback.format_exception(caught.value))
    assert canary not in shown
    for pickled in (store, denied):
        assert canary.encode() not in pickle.dumps(pickled)
        assert b"botocore" not in pickle.dumps(pickled)


@pytest.mark.parametrize(
    "endpoint", ["http://user:canary-secret@127.0.0.1:1", "ftp//user:canary-secret@host"]
)
def test_a_password_in_the_endpoint_is_not_repeated(
    s3_uri: str, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setattr("augment.objects.s3._FIRST_BACKOFF_S", 0.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(AugmentError) as caught:
        open_store(s3_uri).get("key")
    assert "canary-secret" not in "".join(traceback.format_exception(caught.value))
