"""How often the same test images were asked: each answer that is acted upon makes the next one less honest.

Owns the count and the warning. Where the record is kept is the caller's.
"""

from augment.types import Record, canonical_json, sha256_hex

__all__ = ["TestUsage", "count_use", "question_of", "usage_warning"]


class TestUsage(Record):
    """The questions that these test images were asked, each once, oldest first."""

    __test__ = False  # pytest takes it for a test class by its name

    test_sha256: str
    questions: tuple[str, ...] = ()

    @property
    def uses(self) -> int:
        """Different questions so far."""
        return len(self.questions)


def question_of(*parts: str) -> str:
    """A digest of what is asked: arms, seeds, training data and samples, by their digests. Asked again it is the
    same question, and its answer the same.
    """
    return sha256_hex(canonical_json(list(parts)))


def count_use(usage: TestUsage | None, test_sha256: str, question: str) -> TestUsage:
    """The record with this question in it; `usage` is None, or of other images, where these were never asked."""
    known = usage.questions if usage is not None and usage.test_sha256 == test_sha256 else ()
    return TestUsage(test_sha256=test_sha256, questions=known if question in known else (*known, question))


def usage_warning(usage: TestUsage) -> str | None:
    """What a user should know of repeated use; None for a first one."""
    if usage.uses < 2:
        return None
    return (
        f"these test images have answered {usage.uses} different questions: whatever was chosen after the first "
        "answer was chosen on them too, and the intervals are too favourable; report on images never used before"
    )
