"""Slurm, Ray's launcher, SkyPilot, Airflow and Argo: each file is what its tool takes, and runs our command alone."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import types
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import pytest

from pipelines.submit.backends import read_settings
from pipelines.submit.contract import checked_run_id
from tests.deploy.files import DEPLOY, KUBERAY, documents

SLURM = DEPLOY / "slurm" / "augment.sbatch"
(SKYPILOT,) = documents(DEPLOY / "skypilot" / "augment.yaml")
(ARGO,) = documents(DEPLOY / "argo" / "workflow-template.yaml")
(CRON_JOB,) = documents(KUBERAY / "schedule" / "cronjob.yaml")

RAY_STUB = """#!/bin/bash
echo "ray $*" >> "$CALLS"
[ "$1" = symmetric-run ] || exit 0
[ -z "${RAY_FAILS:-}" ] || exit 0  # as Ray 2.60 does
while [ "$1" != -- ]; do shift; done
shift
"$@"
"""


@pytest.fixture
def stubs(tmp_path: Path) -> dict[str, str]:
    """An environment in which Slurm, Ray and our command are stubs that write down how they were called."""
    commands = {
        "scontrol": "#!/bin/bash\nprintf 'node-7\\nnode-8\\n'\n",
        "srun": '#!/bin/bash\nwhile [[ "$1" == --* ]]; do shift; done\n"$@"\n',
        "ray": RAY_STUB,
        "augment": '#!/bin/bash\necho "$RAY_ADDRESS augment $*" >> "$CALLS"\nexit "$CODE"\n',
    }
    for name, text in commands.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    job = {
        "SLURM_JOB_ID": "12345",
        "SLURM_JOB_NODELIST": "node-[7-8]",
        "SLURM_JOB_NUM_NODES": "2",
        "CODE": "0",
    }
    return {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
        **job,
    }


def calls(env: dict[str, str]) -> list[str]:
    return Path(env["CALLS"]).read_text().splitlines()


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 75])
def test_the_slurm_script_ends_as_the_run_did(stubs: dict[str, str], code: int) -> None:
    ran = subprocess.run(["bash", SLURM, "job.yaml"], env=stubs | {"CODE": str(code)}, check=False)
    assert ran.returncode == code
    assert calls(stubs)[-1] == "node-7:22345 augment run -c job.yaml --progress log"


def test_the_slurm_script_says_try_again_where_ray_did_not_start(stubs: dict[str, str]) -> None:
    ran = subprocess.run(["bash", SLURM, "job.yaml"], env=stubs | {"RAY_FAILS": "1"}, check=False)
    assert ran.returncode == 75
    assert not any("augment run" in call and not call.startswith("ray") for call in calls(stubs))


def test_the_slurm_script_takes_whole_nodes_asks_for_a_token_and_can_be_requeued() -> None:
    text = SLURM.read_text()
    options = re.findall(r"(?m)^#SBATCH (\S+)", text)
    assert {"--exclusive", "--requeue", "--open-mode=append", "--ntasks-per-node=1", "--mem=0"} <= set(
        options
    )
    assert "export RAY_AUTH_MODE=token" in text


def test_the_slurm_script_without_a_config_says_how_it_is_called() -> None:
    ran = subprocess.run(["bash", SLURM], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "usage: sbatch deploy/slurm/augment.sbatch CONFIG" in ran.stderr


def test_rays_own_launcher_takes_its_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    (config,) = documents(DEPLOY / "ray-cluster" / "aws.yaml")
    validate_config(prepare_config(config))
    workers = {name: each for name, each in config["available_node_types"].items() if name != "head"}
    assert config["max_workers"] >= max(each["max_workers"] for each in workers.values())


def test_the_launched_cluster_has_roles_for_keys_and_asks_for_a_token() -> None:
    (config,) = documents(DEPLOY / "ray-cluster" / "aws.yaml")
    for name, each in config["available_node_types"].items():
        profile = each["node_config"]["IamInstanceProfile"]["Arn"]
        assert profile.endswith("augment-head" if name == "head" else "augment-worker")
        assert each["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}
    assert "RAY_AUTH_MODE=token" in str(config["setup_commands"])
    assert "~/.ray/auth_token" in config["file_mounts"]
    assert "--dashboard-host" not in str(config), "it listens on the node itself alone"


def test_skypilot_knows_every_field_of_its_file() -> None:
    # Of sky.utils.schemas (SkyPilot 0.14), whose package is too large to install for this.
    assert SKYPILOT.keys() <= {"name", "workdir", "num_nodes", "resources", "envs", "secrets", "setup", "run"}
    assert SKYPILOT["resources"].keys() <= {"accelerators", "cpus", "disk_size", "use_spot", "job_recovery"}
    assert SKYPILOT["resources"]["job_recovery"]["recover_on_exit_codes"] == [5, 75]
    assert SKYPILOT["secrets"] == {"RAY_AUTH_TOKEN": None}, "given when it is launched, never written"


@pytest.mark.parametrize("code", [0, 2, 75])
def test_skypilots_first_node_ends_as_the_run_did(stubs: dict[str, str], code: int) -> None:
    sky = {"SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2", "SKYPILOT_NODE_RANK": "0", "CONFIG": "job.yaml"}
    ran = subprocess.run(["bash", "-c", SKYPILOT["run"]], env=stubs | sky | {"CODE": str(code)}, check=False)
    assert ran.returncode == code
    assert calls(stubs)[-1] == "10.0.0.1:26379 augment run -c job.yaml --progress log"


def test_skypilots_other_nodes_join_the_first(stubs: dict[str, str]) -> None:
    sky = {"SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2", "SKYPILOT_NODE_RANK": "1", "CONFIG": "job.yaml"}
    ran = subprocess.run(["bash", "-c", SKYPILOT["run"]], env=stubs | sky, check=False)
    assert ran.returncode == 0
    assert calls(stubs) == ["ray start --address=10.0.0.1:26379 --dashboard-agent-listen-port=26365"]


class TryAgain(Exception):
    """Stands for AirflowException: the task's retries follow."""


class FailAtOnce(TryAgain):
    """Stands for AirflowFailException: no retry follows."""


def airflow_task(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the DAG gives its one operator, with stubs for Airflow, which is too large to install for this."""
    given: list[dict[str, Any]] = []

    class Dag:
        def __init__(self, **arguments: Any) -> None:
            assert arguments["max_active_runs"] == 1

        def __enter__(self) -> Dag:
            return self

        def __exit__(self, *error: object) -> None: ...

    for name, contents in {
        "airflow": {},
        "airflow.exceptions": {"AirflowException": TryAgain, "AirflowFailException": FailAtOnce},
        "airflow.sdk": {"DAG": Dag},
        "airflow.providers": {},
        "airflow.providers.standard": {},
        "airflow.providers.standard.operators": {},
        "airflow.providers.standard.operators.python": {
            "PythonOperator": lambda **arguments: given.append(arguments)
        },
    }.items():
        module = types.ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    runpy.run_path(str(DEPLOY / "airflow" / "augment_dag.py"))
    (task,) = given
    return task


def airflow_command(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return airflow_run(monkeypatch, 0)


def airflow_run(monkeypatch: pytest.MonkeyPatch, code: int) -> list[str]:
    """What the DAG's task runs, where that ends with `code`."""
    ran: list[list[str]] = []

    def end(command: list[str]) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, code)

    run, task = types.SimpleNamespace(run_after=datetime(2026, 11, 23, 1, 0)), airflow_task(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", end)
        task["python_callable"](*(jinja2.Template(word).render(dag_run=run) for word in task["op_args"]))
    (command,) = ran
    return command


def cron_command() -> list[str]:
    (container,) = CRON_JOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return [
        word.replace("$(TICK)", "augment-nightly-29384750")
        for word in container["command"] + container["args"]
    ]


def argo_command() -> list[str]:
    container = ARGO["spec"]["templates"][0]["container"]
    return [
        word.replace("{{workflow.name}}", "augment-x7k2p")
        for word in container["command"] + container["args"]
    ]


def flag(command: list[str], name: str) -> str:
    joined = [word.partition("=")[2] for word in command if word.startswith(f"{name}=")]
    (value,) = joined or [command[command.index(name) + 1]]
    return value


def test_airflow_argo_and_the_cron_job_run_nothing_but_submit_and_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for command in (airflow_command(monkeypatch), cron_command(), argo_command()):
        assert command[:2] == ["augment", "submit"]
        assert {"--wait", "--json"} <= set(command)
        assert flag(command, "--backend") == "kuberay"
        run_id = flag(command, "--run-id")
        assert checked_run_id(run_id) == run_id


def test_airflow_gives_one_tick_one_run_id_however_often_it_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = airflow_command(monkeypatch), airflow_command(monkeypatch)
    assert flag(first, "--run-id") == flag(again, "--run-id") == "nightly-20261123-0100"
    assert airflow_task(monkeypatch)["retries"] > 0


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 75])
def test_airflow_tries_again_after_all_but_what_trying_cannot_mend(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with pytest.raises(TryAgain) as caught:
        airflow_run(monkeypatch, code)
    assert isinstance(caught.value, FailAtOnce) == (code in (1, 2, 3, 4))


def test_argo_tries_again_after_exit_codes_5_and_75_alone() -> None:
    (template,) = ARGO["spec"]["templates"]
    assert re.findall(r"\d+", template["retryStrategy"]["expression"]) == ["5", "75"]
    assert template["retryStrategy"]["limit"] > 0


def test_shell_scripts_are_bash_that_parses() -> None:
    for script in (SLURM.read_text(), SKYPILOT["setup"], SKYPILOT["run"]):
        subprocess.run(["bash", "-n", "-c", script], check=True, env={"PATH": os.defpath})


@pytest.mark.parametrize(("backend", "folder"), [("slurm", "slurm"), ("ray", "ray-cluster")])
def test_a_cluster_file_is_one_that_our_command_takes(backend: str, folder: str) -> None:
    read_settings(backend, DEPLOY / folder / "cluster.yaml")
