"""What a config's run cannot be made of is refused before anything is."""

from __future__ import annotations

from pathlib import Path

import pytest

from augment.config import Config, load_config
from augment.errors import ConfigError
from augment.store.records import MOST_SHARDS
from augment.types import AugmentPlan, ClassTarget
from pipelines.run_plans import refuse_unmakeable


def plan_of(config: Config, rows: int) -> AugmentPlan:
    return AugmentPlan(
        seed=0,
        image=config.image.shape,
        classes=(ClassTarget(label=0, name="a", real=1, target=1 + rows),),
        shard_rows=config.output.shard_rows,
        batch_size=4,
    )


def test_more_shards_than_a_manifest_lists_are_refused_with_the_rows_that_would_do(config_file: Path) -> None:
    config = load_config(config_file, ["output.shard_rows=100"])
    refuse_unmakeable(config, plan_of(config, 100 * MOST_SHARDS))

    with pytest.raises(
        ConfigError, match=r"output\.shard_rows=100 makes 1,000,001 shards .*set it to 101 or more"
    ):
        refuse_unmakeable(config, plan_of(config, 100 * MOST_SHARDS + 1))

    enough = load_config(config_file, ["output.shard_rows=101"])
    refuse_unmakeable(enough, plan_of(enough, 100 * MOST_SHARDS + 1))


def test_a_shard_that_no_worker_can_hold_is_refused_with_the_rows_that_would_do(config_file: Path) -> None:
    config = load_config(config_file, ["output.shard_rows=10000000"])  # of 256 bytes each

    with pytest.raises(ConfigError, match=r"makes shards of 2\.6 GB of pixels.*set it to 7812500 or less"):
        refuse_unmakeable(config, plan_of(config, 10_000_000))
