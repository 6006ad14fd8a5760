"""Balance a data set every night: an Airflow (3.x) DAG that knows one command and its exit codes.

The run id is the tick, so a task that is tried again, or cleared, attaches to the run that it began. Exit code 75
(a service did not answer) and 5 (partly done) are worth another try; 1 to 4, such as a wrong config, fail at once.
Where `augment` is not installed on the workers, the same command goes into a KubernetesPodOperator.
"""

import subprocess
from datetime import datetime, timedelta

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG


def submit(run_id: str) -> None:
    """Submit the run, or attach to it, and wait until it has ended."""
    done = subprocess.run(  # noqa: S603 - our command
        [
            *("augment", "submit", "--config", "/etc/augment/job.yaml"),
            *("--backend", "kuberay", "--cluster", "/etc/augment/cluster.yaml"),
            *("--run-id", run_id, "--wait", "--json"),
        ]
    )
    if done.returncode in (1, 2, 3, 4):
        raise AirflowFailException(f"augment submit ended with exit code {done.returncode}: not tried again")
    if done.returncode:
        raise AirflowException(f"augment submit ended with exit code {done.returncode}")


with DAG(
    dag_id="augment_nightly",
    schedule="0 1 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
) as dag:
    PythonOperator(
        task_id="balance",
        python_callable=submit,
        op_args=["nightly-{{ dag_run.run_after.strftime('%Y%m%d-%H%M') }}"],
        retries=3,
        retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(hours=23),
    )
