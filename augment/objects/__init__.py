"""One object-store contract, and its three stores: a local folder, S3, and memory (for tests).

Owns: naming a store by URI, reading and writing whole objects, the one primitive that the commit protocol
needs (create if absent), and turning a store's failures into errors a user can act on. Knows nothing of
what the objects hold. A store pickles as its URI alone: clients and credentials are built in each process,
the latter by the standard AWS chain (`AWS_PROFILE`, `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …).
"""

from augment.objects.contract import ObjectNotFoundError, ObjectStore, StoredObject
from augment.objects.local import LocalStore
from augment.objects.memory import MemoryStore
from augment.objects.opening import filesystem_errors, filesystem_for, open_store
from augment.objects.s3 import S3Store

__all__ = [
    "LocalStore",
    "MemoryStore",
    "ObjectNotFoundError",
    "ObjectStore",
    "S3Store",
    "StoredObject",
    "filesystem_errors",
    "filesystem_for",
    "open_store",
]
