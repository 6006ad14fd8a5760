"""The k-th nearest reference of each query, whoever the other queries are; and duplicates within one group.

Owns the search over all references, never a subsample, and that its answer does not depend on company:
queries are computed in tiles of one size, filled up with zeros, and a distance is computed once more from
the difference of the two vectors. Knows neither images nor limits.

N = queries, V = views of one query, M = references, F = features, R, S = members of a group.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.quality.distances import Features, Nearest, squared_distance_blocks

__all__ = ["all_distances", "earlier_duplicates", "kth_nearest", "nearest_view"]

_TILE = 64  # queries
_GROUP_TILE = 64  # members of a group: in pixels each is seen in up to 36 views

Indices = npt.NDArray[np.int64]


def kth_nearest(
    query_NF: Features, reference_MF: Features, k: int = 1, *, left_out_N: Indices | None = None
) -> Nearest:
    """How far each query's k-th nearest reference is, and which it is, k ≥ 1.

    `left_out_N` names one reference for each query that does not count: the query itself, where it is one of
    them. Raises InputError where fewer than k references are left.
    """
    return nearest_view(query_NF[:, None], reference_MF, k, left_out_N=left_out_N)


def nearest_view(
    query_NVF: Features, reference_MF: Features, k: int = 1, *, left_out_N: Indices | None = None
) -> Nearest:
    """`kth_nearest` of queries that are seen in V ways each: of the nearest view, the first of equals."""
    left = len(reference_MF) - (left_out_N is not None)
    if k < 1 or left < k:
        raise InputError(f"the {k}-th nearest of {left} references: there is none")
    distance_N = np.empty(len(query_NVF), np.float32)
    index_N = np.empty(len(query_NVF), np.int64)
    for first in range(0, len(query_NVF), _TILE):
        rows = slice(first, min(first + _TILE, len(query_NVF)))
        left_out_T = None if left_out_N is None else left_out_N[rows]
        distance_N[rows], index_N[rows] = _tile(query_NVF[rows], reference_MF, k, left_out_T)
    return Nearest(distance_N=distance_N, index_N=index_N)


def all_distances(query_NF: Features, reference_MF: Features) -> npt.NDArray[np.float64]:
    """Euclidean distances, [N, M]; one near 0 is rounded to about 1e-8 of the vectors' lengths."""
    if not len(query_NF) or not len(reference_MF):
        return np.empty((len(query_NF), len(reference_MF)))
    blocks = [squared_RM for _, squared_RM in squared_distance_blocks(query_NF, reference_MF)]
    return np.sqrt(np.concatenate(blocks))


def earlier_duplicates(
    members: int, near: Callable[[Indices, Indices], npt.NDArray[np.bool_]]
) -> npt.NDArray[np.int64]:
    """For each of 0 … members - 1 the first earlier one that is kept and near it, or -1: then it is kept.

    `near` says of R members and S others, given by their numbers, which are near: bool [R, S]. New members
    are compared with those kept and with one another, never with duplicates: memory stays flat, and a group
    of one picture costs the least.
    """
    duplicate_of_N = np.full(members, -1, np.int64)
    kept = np.empty(0, np.int64)
    for first in range(0, members, _GROUP_TILE):
        tile = np.arange(first, min(first + _GROUP_TILE, members))
        if len(kept):
            near_RS = near(tile, kept)
            tile_is_near_R = near_RS.any(1)
            duplicate_of_N[tile[tile_is_near_R]] = kept[near_RS[tile_is_near_R].argmax(1)]
            rest = tile[~tile_is_near_R]
        else:
            rest = tile
        near_RR = near(rest, rest)
        kept_R = np.zeros(len(rest), np.bool_)
        for row in range(len(rest)):
            earlier = np.flatnonzero(near_RR[row, :row] & kept_R[:row])
            if len(earlier):
                duplicate_of_N[rest[row]] = rest[earlier[0]]
            else:
                kept_R[row] = True
        kept = np.concatenate([kept, rest[kept_R]])
    return duplicate_of_N


def _tile(
    query_NVF: Features, reference_MF: Features, k: int, left_out_N: Indices | None
) -> tuple[npt.NDArray[np.float32], Indices]:
    rows, views, features = query_NVF.shape
    filled = np.zeros((_TILE, views, features), query_NVF.dtype)
    filled[:rows] = query_NVF
    chosen = np.empty(_TILE * views, np.int64)
    left_out = None if left_out_N is None else np.repeat(left_out_N, views)
    for block, squared_RM in squared_distance_blocks(filled.reshape(-1, features), reference_MF):
        if left_out is not None:
            own = left_out[block]  # shorter than the block where it is filled up
            squared_RM[np.arange(len(own)), own] = np.inf
        chosen[block] = (
            squared_RM.argmin(1) if k == 1 else np.argpartition(squared_RM, k - 1, axis=1)[:, k - 1]
        )
    chosen_NV = chosen.reshape(_TILE, views)[:rows]
    difference_NVF = query_NVF.astype(np.float64) - reference_MF[chosen_NV]
    distance_NV = np.sqrt(np.einsum("nvf,nvf->nv", difference_NVF, difference_NVF)).astype(np.float32)
    view_N = distance_NV.argmin(1)
    within = np.arange(rows)
    return distance_NV[within, view_N], chosen_NV[within, view_N]
