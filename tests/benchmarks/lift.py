"""Suite `lift`: does it help? A classifier with and without generated samples, on held-out real images.

All arms of `augment.lift` × all seeds on one data set: the same steps, the same base augmentation, the same
network. Hours in all on two cores: a finished trial is found again by the next call. Fashion-MNIST-LT needs a
generator that was trained on its training images (`--generator`), cells one of theirs (`--cells-generator`);
without it only the controls run on the cells.

Owns which trials are run, and what is shown of them. Their files are `lift_trials`'.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.options import Options

if TYPE_CHECKING:
    from augment.lift.arms import Arm
    from tests.benchmarks.lift_data import LiftSets

__all__ = ["run"]

SMALL_ARMS = ("real", "balanced-softmax", "duplicates")


def run(options: Options) -> dict[str, Any]:
    """Run what is missing, print the tables of each data set."""
    from augment.lift.arms import arms_named
    from tests.benchmarks.lift_data import lift_cells, lift_fashion, small_lift

    if options.small:
        return {"data": [_on_data(small_lift(), arms_named(options.only or SMALL_ARMS), None, options)]}
    chosen = arms_named(options.only)
    result = [_on_data(lift_fashion(options.idx), chosen, options.generator, options)]
    if options.cells is not None:
        controls = [arm for arm in chosen if arm.is_control]
        arms = chosen if options.cells_generator is not None else controls
        result.append(_on_data(lift_cells(options.cells), arms, options.cells_generator, options))
    return {"data": result}


def _on_data(sets: LiftSets, arms: Sequence[Arm], generator: Path | None, options: Options) -> dict[str, Any]:
    from augment.lift.usage import question_of, usage_warning
    from augment.objects import open_store
    from augment.quality.config import GatesConfig
    from pipelines.lift_store import LiftStore
    from tests.benchmarks.fidelity_tables import show
    from tests.benchmarks.lift_pools import Pools
    from tests.benchmarks.lift_tables import arm_table, class_table, recommendation_text, verdict_of
    from tests.benchmarks.lift_trials import Trials

    folder = options.out / "lift"
    gates = GatesConfig(steps=2) if options.small else GatesConfig()
    trials = Trials(sets, Pools(sets, folder, generator, gates, _announce), folder, _announce)
    found = trials.all(arms, options.seeds)
    question = question_of(*sorted(trial.name for trial in found))
    usage = LiftStore(open_store(str(folder))).count_use(sets.test.sha256, question)
    if (warning := usage_warning(usage)) is not None:
        _announce(f"{sets.name}: {warning}")
    result = verdict_of(sets, arms, options.seeds, found)
    show(arm_table(sets.name, result))
    show(class_table(sets.name, result))
    print(recommendation_text(sets.name, result))
    return {"name": sets.name, **result.model_dump(mode="json"), "test_uses": usage.uses}


def _announce(line: str) -> None:
    print(line, file=sys.stderr)
