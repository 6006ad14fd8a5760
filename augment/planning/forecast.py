"""From measured rates to what a whole run will take: time stage by stage, bytes, memory, hours and price.

Owns the model of a run: which stages follow one another, what each is made of, and which of them share the same cores.
Pure: it is given counts, rates and hardware. Where a figure is no product of a count and a measured rate, its stage
or note says so. Cheap formulas for a plan that measures nothing are augment.planning.cost's.
"""

import math
from typing import Literal

from augment.planning.budget import Held, usd_per_hour
from augment.planning.config import PricesConfig
from augment.planning.interval import Interval
from augment.planning.slices import Slices
from augment.types import Record

__all__ = [
    "Forecast",
    "GenerateTrial",
    "Machine",
    "Memory",
    "ReadTrial",
    "StageForecast",
    "TrainTrial",
    "Work",
    "forecast",
]

RAY_START = Interval(low=3, middle=6, high=15)  # s; a cluster of one machine until it takes tasks
WORKER_GROUP = Interval(low=3, middle=6, high=15)  # s; Ray Train's controller and its workers' rendezvous
CLOSING_FACTOR = 3.0  # how well the fidelity and the report of a run are foretold
MEMORY_FACTOR = 1.2  # how far two runs' peaks may lie apart
DRIVER_BYTES_AN_IMAGE = 200  # names, labels and hashes of the listing
DRIVER_RAY_BYTES = 60e6  # of a driver that is connected: buffers and threads
WORKER_RAY_BYTES = 40e6  # of a worker
SHARD_COPIES = 3  # of a shard's pixels: as drawn, as judged, on its way to be encoded

Basis = Literal["measured", "extrapolated", "assumed"]


class ReadTrial(Record):
    """What reading this source and writing to this store came to, in a process with one thread."""

    images: int  # decoded
    decode_s: Slices  # images
    encoded_bytes: Slices  # real images of the classes that samples are made for, as the plan weighs them
    put_s: Slices  # puts
    put_bytes: int  # of each put
    start_s: float  # from the process's start until it could work
    peak_bytes: int


class TrainTrial(Record):
    """What training came to, in a process with a training worker's threads or GPU."""

    images: int  # real ones that it trained on
    held_images: int  # decoded images in its memory
    step_s: Slices  # steps
    look_s: Slices  # looks for collapse
    snapshot_s: Slices  # snapshots: what training waits for
    evaluation_s: Slices | None  # measurements of quality; None where there are none
    evaluations: int  # of the whole training, when it uses all its steps
    judge_step_s: Slices | None  # steps of the judge
    judge_steps: int
    gates_step_s: Slices | None  # steps of a classifier of the gates; None where a run has no gates
    gates_look_s: Slices | None  # images that one of them looks at
    start_s: float
    peak_bytes: int
    driver_bytes: int  # of a process that has imported what a driver imports, and done nothing


class GenerateTrial(Record):
    """What generating came to, in a process with one thread or a GPU, as an actor of it has."""

    candidate_s: Slices  # candidates drawn, and judged where there are gates
    judged_s: Slices | None  # candidates judged: the gates' part of it
    encode_s: Slices  # images
    row_bytes: float  # of a shard's row beside its image
    shard_rows: int  # that it held at a time
    start_s: float
    peak_bytes: int


class Work(Record):
    """How much there is to do, from the start of a run to its end."""

    images: int  # real ones, to decode
    image_bytes: int  # of one, decoded
    steps: int  # of training; 0: nothing is trained
    looks: int
    snapshots: int
    most_training_s: float | None = None  # train.max_time
    gates_steps: int = 0  # of all classifiers together; 0: no gates
    gates_looked_at: int = 0  # real images times classifiers
    gates_scored: int = 0  # real images whose distances give the limits
    rows: int  # samples
    shard_rows: int
    candidates_a_row: Interval
    closing_images: int = 0  # real ones and samples that fidelity looks at; 0: it is not measured

    @property
    def shards(self) -> int:
        """Of up to `shard_rows` samples each."""
        return -(-self.rows // self.shard_rows)


class Machine(Record):
    """What a run is done with."""

    held: Held
    train_workers: int = 1
    trains_on_gpus: bool = False
    generators: int = 1  # side by side, at most
    generates_on_gpus: bool = False
    starts_ray: bool = True  # False: a cluster is joined


class StageForecast(Record):
    """One stage's wall time, and what the figure rests on."""

    name: str
    seconds: Interval
    basis: Basis
    note: str = ""


class Memory(Record):
    """Peak bytes of one process each; the object store is shared memory of the whole cluster."""

    driver: Interval
    training_worker: Interval | None
    generator: Interval
    object_store: Interval


class Forecast(Record):
    """What a run from its very beginning will take; what is stored already is spared, and not counted here."""

    stages: tuple[StageForecast, ...]
    wall_s: Interval
    cpu_hours: Interval  # all CPUs that are held, from start to end
    gpu_hours: Interval
    usd: Interval | None  # None: no prices
    rows: int
    shards: int
    bytes_per_image: Interval
    total_bytes: Interval
    memory: Memory
    notes: tuple[str, ...]


def forecast(
    work: Work,
    machine: Machine,
    read: ReadTrial,
    train: TrainTrial | None,
    generate: GenerateTrial,
    prices: PricesConfig,
) -> Forecast:
    """What `work` will take on `machine`, by what was measured there; `train` is None where there is nothing to train
    and no gates.
    """
    stages = [
        _starting(machine),
        _decoding(work, machine, read),
        *(_training(work, machine, train) if train is not None and work.steps else ()),
        *([_calibrating(work, train, generate)] if work.gates_steps and train is not None else ()),
        _generating(work, machine, read, generate),
        *([_closing(work, generate)] if work.closing_images else ()),
    ]
    wall_s = sum((stage.seconds for stage in stages), Interval.exactly(0))
    hours, hourly = wall_s / 3600, usd_per_hour(prices, machine.held)
    bytes_per_image = read.encoded_bytes.a_unit + Interval.exactly(generate.row_bytes)
    return Forecast(
        stages=tuple(stages),
        wall_s=wall_s,
        cpu_hours=hours * machine.held.cpus,
        gpu_hours=hours * machine.held.gpus,
        usd=None if hourly is None else hours * hourly,
        rows=work.rows,
        shards=work.shards,
        bytes_per_image=bytes_per_image,
        total_bytes=bytes_per_image * work.rows,
        memory=_memory(work, machine, train, generate),
        notes=tuple(_notes(work, machine, read, train)),
    )


def _starting(machine: Machine) -> StageForecast:
    seconds = RAY_START if machine.starts_ray else Interval(low=0, middle=1, high=5)
    return StageForecast(name="start of Ray", seconds=seconds, basis="assumed")


def _decoding(work: Work, machine: Machine, read: ReadTrial) -> StageForecast:
    seconds = read.decode_s.a_unit * (work.images / max(1.0, machine.held.cpus))
    share = read.images / work.images if work.images else 1.0
    return StageForecast(
        name="decode",
        seconds=seconds + _process(read.start_s),
        basis="measured" if share >= 1 else "extrapolated",
        note=f"from {min(read.images, work.images):,} of {work.images:,} images",
    )


def _training(work: Work, machine: Machine, train: TrainTrial) -> list[StageForecast]:
    """The judge, and the training itself with all that it stops for."""
    stages = []
    if train.judge_step_s is not None:
        seconds = train.judge_step_s.a_unit * train.judge_steps + _process(train.start_s)
        stages.append(StageForecast(name="judge", seconds=seconds, basis="measured"))
    seconds = (
        train.step_s.a_unit * work.steps
        + train.look_s.a_unit * work.looks
        + train.snapshot_s.a_unit * work.snapshots
    )
    if train.evaluation_s is not None:
        seconds = seconds + train.evaluation_s.a_unit * train.evaluations
    if work.most_training_s is not None:
        seconds = seconds.at_most(work.most_training_s)
    several = machine.train_workers > 1
    stages.append(
        StageForecast(
            name="train",
            seconds=seconds + WORKER_GROUP + _process(train.start_s),
            basis="extrapolated" if several else "measured",
            note=f"one of {machine.train_workers} workers, with its share of the batch: what they tell each other "
            "was not measured"
            if several
            else f"{work.steps:,} steps",
        )
    )
    return stages


def _calibrating(work: Work, train: TrainTrial, generate: GenerateTrial) -> StageForecast:
    seconds = _process(train.start_s)
    if train.gates_step_s is not None and train.gates_look_s is not None:
        seconds = seconds + train.gates_step_s.a_unit * work.gates_steps
        seconds = seconds + train.gates_look_s.a_unit * work.gates_looked_at
    if generate.judged_s is not None:
        seconds = seconds + generate.judged_s.a_unit * work.gates_scored
    return StageForecast(name="gates", seconds=seconds, basis="extrapolated", note="distances on one thread")


def _generating(work: Work, machine: Machine, read: ReadTrial, generate: GenerateTrial) -> StageForecast:
    """Whichever is longer: the fullest actor's shards and then one shard's encoding, or the work of all cores.

    Encoding runs beside the actors; on CPUs both share the same cores.
    """
    actors = max(1, min(machine.generators, work.shards))
    drawing_s = generate.candidate_s.a_unit * work.candidates_a_row
    encoding_s = generate.encode_s.a_unit
    fullest_rows = min(work.rows, math.ceil(work.shards / actors) * work.shard_rows)
    put_s = read.put_s.a_unit * _put_share(work, read)
    one_after_another = drawing_s * fullest_rows + encoding_s * min(work.rows, work.shard_rows) + put_s
    on_cores = encoding_s if machine.generates_on_gpus else drawing_s + encoding_s
    side_by_side = on_cores * (work.rows / max(1.0, machine.held.cpus)) + put_s
    candidates = work.candidates_a_row
    return StageForecast(
        name="generate",
        seconds=one_after_another.at_least(side_by_side) + _process(generate.start_s),
        basis="measured" if candidates.low == candidates.high else "extrapolated",
        note=""
        if candidates.low == candidates.high
        else f"{candidates.low:g} to {candidates.high:g} candidates a sample: what the gates will let pass is not "
        "known before a model is trained",
    )


def _put_share(work: Work, read: ReadTrial) -> float:
    """Of one measured put, what a shard's takes: in proportion to bytes where shards are larger."""
    shard_bytes = read.encoded_bytes.a_unit.middle * min(work.rows, work.shard_rows)
    return max(1.0, shard_bytes / read.put_bytes)


def _closing(work: Work, generate: GenerateTrial) -> StageForecast:
    """Fidelity and the report: each image is looked at, and compared with the others of its class."""
    a_unit = (generate.judged_s or generate.candidate_s).a_unit.middle
    seconds = Interval.within_factor(a_unit * work.closing_images, CLOSING_FACTOR)
    return StageForecast(
        name="fidelity and report", seconds=seconds + _process(generate.start_s), basis="assumed"
    )


def _process(start_s: float) -> Interval:
    """The start of one more process, as one was seen to start; Ray may keep one ready."""
    return Interval(low=0.3 * start_s, middle=start_s, high=2 * start_s)


def _memory(work: Work, machine: Machine, train: TrainTrial | None, generate: GenerateTrial) -> Memory:
    """Peaks as measured, with what a whole run holds beyond what the probe did."""

    def about(value: float) -> Interval:
        return Interval.within_factor(value, MEMORY_FACTOR)

    pixels = work.images * work.image_bytes
    held_rows = max(0, min(work.shard_rows, work.rows) - generate.shard_rows)
    worker = None
    if train is not None and work.steps:
        more = max(0, work.images - train.held_images) * work.image_bytes
        worker = about(train.peak_bytes + more + WORKER_RAY_BYTES)
    driver = train.driver_bytes if train is not None else generate.peak_bytes
    return Memory(
        driver=about(driver + DRIVER_RAY_BYTES + DRIVER_BYTES_AN_IMAGE * work.images),
        training_worker=worker,
        generator=about(generate.peak_bytes + SHARD_COPIES * held_rows * work.image_bytes + WORKER_RAY_BYTES),
        # Decoded chunks and the one array that they become lie there side by side.
        object_store=about(
            2 * pixels + machine.generators * min(work.shard_rows, work.rows) * work.image_bytes
        ),
    )


def _notes(work: Work, machine: Machine, read: ReadTrial, train: TrainTrial | None) -> list[str]:
    """What no interval tells."""
    notes = [
        "bytes are those of real images of these classes: a generator's are as large once it is trained, and larger "
        "while it is noisy",
    ]
    if read.put_bytes < read.encoded_bytes.a_unit.middle * min(work.rows, work.shard_rows):
        notes.append(
            f"puts were measured with {read.put_bytes / 1e6:,.0f} MB; larger shards are taken to need more in "
            "proportion"
        )
    if train is not None and work.steps:
        notes.append(
            "training may end sooner, on a plateau (train.patience), and takes longer after a remedy"
        )
        if train.images < work.images:
            notes.append(f"training was measured on {train.images:,} of {work.images:,} images")
    if machine.generators > 1 and not machine.generates_on_gpus:
        notes.append(
            f"one generator was measured alone; {machine.generators} side by side share memory's bandwidth"
        )
    return notes
