"""Static copies of a dataset version in the layouts that other tools expect.

Owns which layouts there are. To add one, write a file with a `Layout` (see contract.py) and its entry here.
"""

from augment.store.layouts.contract import Layout
from augment.store.layouts.folder import FOLDER
from augment.store.layouts.hf import HF
from augment.store.layouts.hive import HIVE
from augment.store.layouts.webdataset import WEBDATASET

__all__ = ["LAYOUTS"]

LAYOUTS: dict[str, Layout] = {"hf": HF, "hive": HIVE, "webdataset": WEBDATASET, "folder": FOLDER}
"""By the name that `augment export --layout` takes."""
