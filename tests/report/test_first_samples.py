"""The samples that are shown and measured: the first ones of each class as they were committed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import IntegrityError
from augment.report.first_samples import first_samples, sample_blocks, shown_classes
from augment.store.shards import sample_id
from augment.types import AugmentPlan, ClassTarget, ImageShape
from tests.report.runs import committed, drawn, newest


def test_the_first_samples_are_those_of_lowest_index_with_their_ids() -> None:
    samples = drawn(40)
    dataset = committed(samples)  # 80 rows in shards of 30: both classes lie in several
    found = first_samples(dataset, newest(dataset), 35)
    for index in (1, 2):
        np.testing.assert_array_equal(found[index].pixels_BHWC, samples[index][:35])
        run_id = newest(dataset).plan.run_id
        assert found[index].ids_B == tuple(sample_id(run_id, 10 + index, row) for row in range(35))


def test_only_the_classes_that_are_asked_for_are_read() -> None:
    dataset = committed(drawn(10))
    assert list(first_samples(dataset, newest(dataset), 3, [2])) == [2]
    assert first_samples(dataset, newest(dataset), 3, [0]) == {}


def test_of_one_recipe_the_first_rows_that_were_made_by_it_are_taken() -> None:
    samples = drawn(40)
    made_by = {index: ["duplicate" if row % 2 else "gan" for row in range(40)] for index in (1, 2)}
    dataset = committed(samples, made_by=made_by)  # type: ignore[arg-type]
    blocks = list(sample_blocks(dataset, newest(dataset), 15, [1], recipe="gan"))
    found = np.concatenate([block.pixels_BHWC for _, block in blocks])
    np.testing.assert_array_equal(found, samples[1][::2][:15])


def test_a_shard_with_other_bytes_is_refused() -> None:
    dataset = committed(drawn(4))
    dataset.store.put(dataset.shards[0].key, b"other")
    with pytest.raises(IntegrityError, match="not what its manifest lists"):
        first_samples(dataset, newest(dataset), 3)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(2, 20))
def test_of_very_many_classes_the_rarest_and_the_largest_are_shown(real: list[int], most: int) -> None:
    classes = tuple(
        ClassTarget(label=label, name=str(label), real=count, target=count)
        for label, count in enumerate(real)
    )
    image = ImageShape(size=16, channels=1)
    plan = AugmentPlan(seed=0, image=image, classes=classes, shard_rows=1, batch_size=1)
    shown = shown_classes(plan, most)
    assert len(shown) == min(most, len(real))
    assert shown == sorted(set(shown))
    hidden = [count for index, count in enumerate(real) if index not in shown]
    if hidden:
        chosen = sorted(real[index] for index in shown)
        assert chosen[: most // 2] == sorted(real)[: most // 2]
        assert chosen[most // 2 :] == sorted(real)[-(most - most // 2) :]
