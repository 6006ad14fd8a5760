"""Repeated use of test images is counted by question and warned of from the second one on."""

from __future__ import annotations

from augment.lift.usage import TestUsage, count_use, question_of, usage_warning


def test_the_first_question_is_counted_without_a_warning() -> None:
    usage = count_use(None, "t", question_of("gan", "real"))
    assert usage.uses == 1
    assert usage_warning(usage) is None


def test_the_same_question_again_is_not_another_use() -> None:
    usage = count_use(None, "t", question_of("gan"))
    assert count_use(usage, "t", question_of("gan")) == usage


def test_a_second_question_is_warned_of_with_the_count() -> None:
    usage = count_use(count_use(None, "t", question_of("gan")), "t", question_of("gan-0.5"))
    warning = usage_warning(TestUsage.model_validate_json(usage.to_json()))
    assert warning is not None
    assert "2 different questions" in warning


def test_other_test_images_begin_anew() -> None:
    usage = count_use(count_use(None, "t", "a"), "other", "b")
    assert (usage.test_sha256, usage.questions) == ("other", ("b",))


def test_parts_of_a_question_do_not_run_together() -> None:
    assert question_of("ab", "c") != question_of("a", "bc")
