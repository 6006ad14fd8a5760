"""Config of what a run leaves to look at, and who else is told of it. No torch here."""

from pydantic import Field

from augment.types import ConfigModel

__all__ = ["ReportConfig"]


class ReportConfig(ConfigModel):
    """The report of a run, `_runs/<run>/report.html`, and loggers."""

    fidelity: bool = True
    """Whether generated samples are compared with the real images once they are committed: distances, precision,
    recall, near copies, and the nearest real image of those that are shown."""

    samples: int = Field(default=1_000, ge=10, le=50_000)
    """Generated samples of a class that are compared, at most; fewer where there are more than 50 classes."""

    mlflow: str | None = None
    """Where MLflow tracks runs, as `https://…` (or `sqlite:///mlflow.db`, with SQLAlchemy installed): each finished
    run is logged there, with its config, figures, training curves and report; needs `ray-augment[mlflow]`.
    Credentials come from MLflow's own environment variables. `null`: nowhere."""

    mlflow_experiment: str = Field(default="augment", min_length=1)
    """The experiment of `mlflow` that runs are logged in."""

    openlineage: str | None = None
    """Who is told of a run's lineage by OpenLineage events, START to COMPLETE or FAIL, with source and dataset: a
    catalogue's `https://…` (its key comes from OPENLINEAGE_API_KEY), or a local file that events are added to; needs
    `ray-augment[lineage]`. `null`: whom the library's own variables name, such as OPENLINEAGE_URL, else nobody."""

    tensorboard: str | None = None
    """A local folder: each finished run's figures and contact sheet are written below it for TensorBoard. Training
    curves are kept beside the model in any case. `null`: nowhere."""
