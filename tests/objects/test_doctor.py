"""Doctor: stores that keep their promises pass, and each lie is named."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from augment.errors import ConfigError
from augment.objects import MemoryStore, ObjectNotFoundError, ObjectStore, StoredObject, open_store
from augment.objects.doctor import CLOCK_WARNING_S, examine

CONDITION = "a conditional put never overwrites (If-None-Match)"
RACE = "of 8 racing puts one wins"
CHECKSUM = "bytes that differ from their checksum are turned away"
LISTING = "a listing shows at once what was put, and when"
CLOCK = "the store's clock agrees with ours"


@pytest.fixture(params=["memory", "local", "seaweedfs"])
def honest_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Stores that keep every promise; moto does not look at checksums."""
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    uri: str = str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("s3_uri")
    return uri


def test_an_honest_store_keeps_every_promise_and_is_left_as_it_was(honest_uri: str) -> None:
    open_store(honest_uri).put("there/before", b"1")
    report = examine(honest_uri)
    report.refuse_broken()
    states = {trial.promise: trial.state for trial in report.trials}
    assert states.pop(CHECKSUM) == ("kept" if honest_uri.startswith("s3://") else "not applicable")
    assert set(states.values()) == {"kept"}
    assert len(states) == 7
    assert [found.key for found in open_store(honest_uri).list()] == ["there/before"]


def test_a_server_that_takes_a_wrong_checksum_is_refused_by_that_name(moto_uri: str) -> None:
    report = examine(moto_uri)
    assert [trial.promise for trial in report.broken] == [CHECKSUM]
    with pytest.raises(ConfigError, match=f"{CHECKSUM}: a put with the wrong SHA-256 was accepted"):
        report.refuse_broken()
    assert list(open_store(moto_uri).list()) == []


class Overwriting(MemoryStore):
    """Ignores the condition, as some gateways do."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


class Agreeing(MemoryStore):
    """Overwrites nothing, but tells everybody that it won."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        super().put_if_absent(key, data)
        return True


class Racy(MemoryStore):
    """Looks and then writes: right one by one, and wrong in a race."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        there = any(found.key == key for found in self.list(key))
        time.sleep(0.005)
        if not there:
            self.put(key, data)
        return not there


class Late(MemoryStore):
    """Shows in a listing only what is older than a moment."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return (found for found in super().list(prefix) if found.modified_s < time.time() - 0.2)


class Timeless(MemoryStore):
    """Says nothing of when."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return (StoredObject(found.key, found.size) for found in super().list(prefix))


class Lossy(MemoryStore):
    """Gives back less than it was given."""

    def get(self, key: str) -> bytes:
        return super().get(key)[:4000]


class Keeping(MemoryStore):
    """Forgets to delete."""

    def delete(self, key: str) -> None:
        pass


@pytest.mark.parametrize(
    ("liar", "promises"),
    [
        (Overwriting, [CONDITION, RACE]),
        (Agreeing, [CONDITION, RACE]),
        (Racy, [RACE]),
        (Late, [LISTING]),
        (Timeless, [LISTING]),
        (Lossy, ["bytes come back as they were put"]),
        (Keeping, ["what is deleted is gone"]),
    ],
)
def test_a_lie_is_refused_by_the_promise_it_breaks(liar: type[MemoryStore], promises: list[str]) -> None:
    report = examine(f"memory://{uuid.uuid4().hex}", opener=liar)
    assert [trial.promise for trial in report.broken] == promises
    with pytest.raises(ConfigError) as refused:
        report.refuse_broken()
    for promise in promises:
        assert promise in str(refused.value)


@pytest.mark.parametrize(("apart_s", "state"), [(-7200, "warning"), (7200, "warning"), (-60, "kept")])
def test_a_clock_far_off_is_a_warning_and_no_refusal(apart_s: float, state: str) -> None:
    class Elsewhere(MemoryStore):
        def list(self, prefix: str = "") -> Iterator[StoredObject]:
            for found in super().list(prefix):
                yield StoredObject(found.key, found.size, found.modified_s + apart_s)

    report = examine(f"memory://{uuid.uuid4().hex}", opener=Elsewhere)
    report.refuse_broken()
    clock = next(trial for trial in report.trials if trial.promise == CLOCK)
    assert clock.state == state
    assert (abs(apart_s) > CLOCK_WARNING_S) == (state == "warning")


def test_a_lost_answer_in_the_race_is_no_broken_promise() -> None:
    """The client's retry finds its own object, so that nobody is told it won."""
    rounds: set[str] = set()

    class Deaf(MemoryStore):
        def put_if_absent(self, key: str, data: bytes) -> bool:
            won = super().put_if_absent(key, data)
            if "race" in key and not rounds:
                rounds.add(key)
            return won and key not in rounds

    examine(f"memory://{uuid.uuid4().hex}", opener=Deaf).refuse_broken()
    assert rounds


def test_a_bucket_that_is_not_there_is_named(s3_uri: str) -> None:
    with pytest.raises(ConfigError, match="bucket does not exist"):
        examine("s3://no-such-bucket-anywhere/x")


def test_wrong_credentials_are_named(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ConfigError, match="access denied"):
        examine(s3_uri)


def test_what_was_written_is_removed_even_if_a_trial_fails() -> None:
    failing = {"on": True}

    class Failing(MemoryStore):
        def get(self, key: str) -> bytes:
            if failing["on"]:
                raise ObjectNotFoundError(f"{key} does not exist")
            return super().get(key)

    uri = f"memory://{uuid.uuid4().hex}"
    opener: Callable[[str], ObjectStore] = Failing
    with pytest.raises(ObjectNotFoundError):
        examine(uri, opener=opener)
    assert list(open_store(uri).list()) == []
