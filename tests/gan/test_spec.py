import pytest

from tests.gan.common import tiny_spec


def test_equal_specs_have_no_differences():
    assert tiny_spec().differences(tiny_spec()) == []


def test_a_difference_names_the_field_and_both_values():
    here, there = tiny_spec(learning_rate=0.002), tiny_spec(learning_rate=0.001)
    assert here.differences(there) == ["train.learning_rate: 0.001 there, 0.002 here"]


def test_every_difference_is_listed():
    here, there = tiny_spec(channels=3, gamma=1.0, model={"width": 8}), tiny_spec()
    assert [line.split(":")[0] for line in here.differences(there)] == [
        "model.width",
        "train.gamma",
        "image.channels",
    ]


@pytest.mark.parametrize(
    "field",
    [
        {"workers": 2},
        {"device": "cpu"},
        {"cpus_per_worker": 1.0},
        {"max_failures": 9},
        {"tf32": False},
    ],
)
def test_fields_that_do_not_decide_the_weights_are_not_compared(field):
    assert tiny_spec(**field).differences(tiny_spec()) == []


@pytest.mark.parametrize("field", [{"snapshot_every": 1}, {"log_every": 9}])
def test_the_cadence_is_compared_since_best_snapshots_and_remedies_depend_on_it(field):
    assert len(tiny_spec(**field).differences(tiny_spec())) == 1


def test_a_spec_survives_json():
    spec = tiny_spec()
    assert type(spec).model_validate_json(spec.to_json()) == spec


def test_classes_and_counts_must_run_in_step():
    fields = tiny_spec().model_dump() | {"counts": (1, 2)}
    with pytest.raises(ValueError, match="3 classes but 2 counts"):
        type(tiny_spec())(**fields)
