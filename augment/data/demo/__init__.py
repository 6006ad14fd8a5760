"""The packaged demo data: two small Parquet files cut from Fashion-MNIST, and the script that cut them.

Owns where those files lie. Knows nothing of how a source is read.
"""

from importlib.resources import files
from pathlib import Path

from augment.errors import InputError

__all__ = ["DEMO_SCHEME", "demo_path"]

DEMO_SCHEME = "demo://"


def demo_path(uri: str) -> Path:
    """The packaged Parquet file that `demo://NAME` stands for.

    Raises InputError naming the sets there are when `NAME` is none of them.
    """
    name = uri.removeprefix(DEMO_SCHEME).strip("/")
    folder = Path(str(files(__name__)))
    available = sorted(path.stem for path in folder.glob("*.parquet"))
    if name not in available:
        offered = ", ".join(DEMO_SCHEME + each for each in available)
        raise InputError(f"{uri} is not a packaged data set; there are {offered}")
    return folder / f"{name}.parquet"
