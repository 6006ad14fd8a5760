"""Balance a data set every night: an Airflow (3.x) DAG that knows one command and its exit codes.

The run id is the tick, so a task that is tried again, or cleared, attaches to the run that it began. Exit code 75
(a service did not answer) and 5 (partly done) are worth another try; a wrong config fails again within seconds.
Where `augment` is not installed on the workers, the same command goes into a KubernetesPodOperator.
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="augment_nightly",
    schedule="0 1 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
) as dag:
    BashOperator(
        task_id="balance",
        bash_command=(
            "augment submit --config /etc/augment/job.yaml --backend kuberay --cluster /etc/augment/cluster.yaml"
            " --run-id nightly-{{ dag_run.run_after.strftime('%Y%m%d-%H%M') }}"
            " --wait --json"
        ),
        retries=3,
        retry_delay=timedelta(minutes=10),
        execution_timeout=timedelta(hours=23),
    )
