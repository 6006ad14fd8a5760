"""Suite `startup` measures what it says, and commands import as little as is promised. No test asserts a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.startup import modules_of, refuse_ray, spent_by, write_job
from tests.pipelines.test_cli import imported_by

MOST_MODULES = {"help": 500, "plan": 800}
"""What `augment --help` and `augment plan` may import. A module costs about a quarter of a millisecond."""


def test_a_command_is_measured_with_its_cpu_time() -> None:
    spent = spent_by(["--help"])
    assert spent.cpu_s > 0
    assert spent.wall_s > 0


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"augment plan -c .* ended with exit code 2"):
        spent_by(["plan", "-c", str(tmp_path / "nowhere.yaml")])


def test_help_and_plan_import_few_modules(tmp_path: Path) -> None:
    told = tmp_path / "modules"
    counted = {
        "help": modules_of(["--help"], told),
        "plan": modules_of(["plan", "-c", str(write_job(tmp_path))], told),
    }
    assert {name: count <= MOST_MODULES[name] for name, count in counted.items()} == {
        "help": True,
        "plan": True,
    }, counted


def test_a_plan_loads_no_library_that_it_does_not_use(tmp_path: Path) -> None:
    assert not imported_by("plan", "-c", write_job(tmp_path)) & {
        "torch",
        "ray",
        "cv2",
        "pandas",
        "scipy",
        "sklearn",
    }


def test_a_rerun_that_starts_ray_is_refused() -> None:
    refuse_ray({"census": 0.1}, started=False)
    refuse_ray({"census": 0.1, "cluster": 2.0}, started=True)
    with pytest.raises(RuntimeError, match="Ray was started"):
        refuse_ray({"cluster": 2.0}, started=False)
