"""How often the same test images were asked: each answer that is acted upon makes the next one less honest.

Owns what a use is and the warning. Where uses are recorded and counted is the caller's.
"""

from augment.types import Record, canonical_json, sha256_hex

__all__ = ["TestUsage", "question_of", "usage_warning"]


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


def usage_warning(usage: TestUsage) -> str | None:
    """What a user should know of repeated use; None for a first one."""
    if usage.uses < 2:
        return None
    return (
        f"these test images have answered {usage.uses} different questions: whatever was chosen after the first "
        "answer was chosen on them too, and the intervals are too favourable; report on images never used before"
    )
