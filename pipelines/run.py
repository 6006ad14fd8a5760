"""The whole job, step by step, each step resumable: census, decode, train, gates, plan, generate, commit, look.

Owns the order of the steps and what a finished step spares the next run: a finished model is not trained
again, a committed run is not generated again, and where neither is needed Ray is not started. A job whose classes
all have other recipes than `gan` has no model.
"""

from augment.config import Config, unused_sections
from augment.errors import ConfigError
from augment.store.models import ModelRecord
from pipelines.job import Job, RunResult
from pipelines.progress import Progress, log

__all__ = ["RunResult", "generate", "run", "train"]


def run(config: Config, progress: Progress) -> RunResult:
    """Census to contact sheet. Killed anywhere, the same call goes on from what is stored."""
    _warn_of_unused(config)
    with Job.opened(config, progress) as job:
        plan = job.plan(job.source.counts())
        job.refuse_early(plan)
        if not plan.rows:  # by the labels; decoding may find that some class lacks images
            plan = job.plan(job.decoded_counts())
        if not plan.rows:
            return job.nothing_to_do()
        if plan.trains:
            return job.generated(job.trained())
        job.prepared()
        return job.generated(None)


def train(config: Config, progress: Progress) -> tuple[ModelRecord, str]:
    """Decode and train only; the model's record and the generator's URI."""
    if config.recipe == "auto":  # what it follows is learned from the model that is trained here
        config = config.model_copy(update={"recipe": "gan"})
    with Job.opened(config, progress) as job:
        plan = job.plan(job.source.counts())
        if plan.rows and not plan.trains:
            raise ConfigError(
                f"recipe={config.recipe}: no class is made by a generator; there is nothing to train"
            )
        model = job.trained()
        return model, job.folder.ref(model).uri


def generate(config: Config, progress: Progress) -> RunResult:
    """Generate and commit from the model that `train` made; ConfigError where there is none."""
    _warn_of_unused(config)
    with Job.opened(config, progress) as job:
        plan = job.plan(job.source.counts())
        job.refuse_early(plan)
        if not plan.rows and job.source.known() is not None:
            return job.nothing_to_do()
        model = job.folder.finished()
        if not plan.rows and model is None:
            plan = job.plan(job.decoded_counts())
            if not plan.rows:
                return job.nothing_to_do()
        if plan.rows and not plan.trains:
            job.prepared()
            return job.generated(None)
        if model is None:
            raise ConfigError(
                f"no finished model `{config.name}` under {job.folder.store.uri_of(job.folder.root)}; "
                "run `augment train` with this config first"
            )
        job.settle_finished()
        return job.generated(model)


def _warn_of_unused(config: Config) -> None:
    for line in unused_sections(config):
        log.warning("%s", line)
