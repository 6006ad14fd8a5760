"""What names a job may have, and what its exit code means."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import ConfigError, GateError, InputError, PartialError, RetryLaterError
from pipelines.submit.contract import (
    MAX_NAME,
    MAX_RUN_ID,
    Submission,
    cancelled,
    checked_run_id,
    ended_with,
    job_name,
    never_started,
    run_command,
)

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # RFC 1035, section 2.3.1, in lower case


@given(run_id=st.from_regex(DNS_1035, fullmatch=True).filter(lambda text: len(text) <= MAX_RUN_ID))
def test_every_run_id_names_each_of_ten_thousand_attempts(run_id: str) -> None:
    assert checked_run_id(run_id) == run_id
    for attempt in (1, 2, 9999):
        name = job_name(run_id, attempt)
        assert DNS_1035.fullmatch(name)
        assert len(name) <= MAX_NAME
    assert len({job_name(run_id, attempt) for attempt in range(1, 50)}) == 49


@pytest.mark.parametrize(
    "run_id", ["", "1run", "-run", "run-", "Run", "run_1", "run.1", "rün", "a" * 43, "run\n"]
)
def test_a_run_id_that_some_backend_refuses_is_refused_by_name(run_id: str) -> None:
    with pytest.raises(ConfigError, match="--run-id"):
        checked_run_id(run_id)


@pytest.mark.parametrize(
    "code",
    [1, *(kind.exit_code for kind in (ConfigError, InputError, GateError, PartialError, RetryLaterError))],
)
def test_a_job_s_own_code_is_the_exit_code(code: int) -> None:
    status = ended_with(code, where="here")

    assert (status.state, status.exit_code) == ("failed", code)
    assert str(code) in status.reason
    assert status.ended
    assert not status.alive


@pytest.mark.parametrize(
    ("raw", "code"), [(-9, 5), (-15, 5), (137, 5), (143, 5), (130, 5), (127, 2), (126, 2), (6, 1), (99, 1)]
)
def test_a_process_that_was_killed_or_never_found_has_a_code_of_the_contract(raw: int, code: int) -> None:
    assert ended_with(raw, where="here").exit_code == code


@given(raw=st.integers(-64, 255))
def test_every_ended_job_has_a_code_of_the_contract_and_a_reason_unless_it_succeeded(raw: int) -> None:
    status = ended_with(raw, where="here")

    assert status.exit_code in {0, 1, 2, 3, 4, 5, 75}
    assert (status.state == "succeeded") == (raw == 0) == (status.exit_code == 0)
    assert bool(status.reason) == (raw != 0)


def test_a_cancelled_job_can_go_on_and_one_that_never_started_is_tried_later() -> None:
    assert cancelled(where="here").exit_code == PartialError.exit_code
    assert never_started("no node", where="here").exit_code == RetryLaterError.exit_code


def test_the_command_is_the_whole_job_with_the_config_as_submitted(submission: Submission) -> None:
    assert run_command(("augment",), "/a/b.json") == (
        "augment", "run", "-c", "/a/b.json", "--progress", "log",
    )  # fmt: skip
    assert "\n" not in submission.config_json
