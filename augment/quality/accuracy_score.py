"""What a classifier's accuracy on real test images is told by: records alone, without torch.

Owns these records; `augment.quality.cas` fills them.
"""

from augment.quality.intervals import Bounds
from augment.types import Record

__all__ = ["AccuracyScore", "ClassRecall"]


class ClassRecall(Record):
    """One class's real test images, and the share of them that the classifier takes for it."""

    class_index: int
    images: int
    recall: Bounds | None  # None where there is no test image


class AccuracyScore(Record):
    """How well a classifier does on real test images, class by class and over all."""

    trained_on: int  # images
    classes: tuple[ClassRecall, ...]
    accuracy: Bounds
    balanced_accuracy: float  # mean recall of the classes with test images

    def recall_of(self, class_index: int) -> float | None:
        """The recall of one class; None where it has no test image."""
        found = next(each for each in self.classes if each.class_index == class_index)
        return found.recall.estimate if found.recall else None
