"""`augment demo`: the whole job on the long-tailed Fashion-MNIST that comes with the package.

Owns the demo's layout: `<out>/dataset` and, beside it, `<out>/contact_sheet.png`.
"""

import dataclasses
import json
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from augment.config import load_config
from augment.errors import ConfigError, IntegrityError
from augment.objects import open_store
from augment.store.verification import verify
from pipelines.heartbeat import beating
from pipelines.progress import Progress, log
from pipelines.run import RunResult, run

__all__ = ["run_demo"]


def run_demo(out: Path, overrides: Sequence[str], progress: Progress) -> RunResult:
    """Run the packaged config into `out`, then verify every byte and put the picture beside the dataset."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out={out} can't be made: {error.strerror}") from error
    dataset = out.resolve() / "dataset"
    with as_file(files("augment.data.demo") / "demo.yaml") as path:
        config = load_config(path, [f"output.uri={json.dumps(str(dataset))}", *overrides])
    with beating(config, progress, "demo"):
        result = run(config, progress)
    if result.version is None:
        return result
    with progress.stage("verify"):
        report = verify(result.uri, result.version, deep=True)
    if not report.ok:
        raise IntegrityError(f"{result.uri}: " + "; ".join(report.problems))
    log.info("verify: %d rows in %d files, every byte as its manifest says", report.rows, report.files)
    picture = out.resolve() / "contact_sheet.png"
    picture.write_bytes(open_store(result.uri).get(f"_runs/{result.run_id}/contact_sheet.png"))
    return dataclasses.replace(result, contact_sheet=str(picture))
