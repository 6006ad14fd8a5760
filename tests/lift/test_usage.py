"""Repeated use of test images is warned of from the second question on."""

from __future__ import annotations

from augment.lift.usage import TestUsage, question_of, usage_warning


def asked(*questions: str) -> TestUsage:
    return TestUsage(test_sha256="t", questions=questions)


def test_the_first_question_is_counted_without_a_warning() -> None:
    usage = asked(question_of("gan", "real"))
    assert usage.uses == 1
    assert usage_warning(usage) is None


def test_a_second_question_is_warned_of_with_the_count() -> None:
    usage = asked(question_of("gan"), question_of("gan-0.5"))
    warning = usage_warning(TestUsage.model_validate_json(usage.to_json()))
    assert warning is not None
    assert "2 different questions" in warning


def test_parts_of_a_question_do_not_run_together() -> None:
    assert question_of("ab", "c") != question_of("a", "bc")
