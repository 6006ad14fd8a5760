"""Who must pass which gates: a property of the recipe that a sample is made by, known before anything is made.

Imports neither torch nor numpy: a plan is told by it apart from one whose samples are taken as they come.
"""

from augment.quality.gate_names import GATES
from augment.types import AugmentPlan, RecipeName

__all__ = ["GATES_OF_RECIPE", "gated_classes"]

_NOT_COPIES = tuple(gate for gate in GATES if not gate.startswith("near-copy") and gate != "discriminator")
GATES_OF_RECIPE: dict[RecipeName, tuple[str, ...]] = {
    "gan": GATES,
    "classic": _NOT_COPIES,  # it is made of a real image, and may stay near it
    "smote": _NOT_COPIES,
    "duplicate": (),
}
"""The gates that samples of a recipe must pass. Those that must pass none are no candidates: they are taken."""


def gated_classes(plan: AugmentPlan) -> tuple[int, ...]:
    """Class indices of which samples are made that gates judge, ascending."""
    return tuple(
        index
        for index, target in enumerate(plan.classes)
        if target.synthetic and GATES_OF_RECIPE[target.recipe]
    )
