"""The nearest references of each query, and which references lie within a distance, whoever else is asked for.

Owns the search over all references, never a subsample, and that an answer does not depend on company, tiles,
threads or rounding: float32 products name the references that may be the answer, by a bound of their error, and
these few are compared once more, vector by vector, in float64. Knows neither images nor limits.

The bound: with u = 2⁻²⁴ and vectors rounded to float32, ‖x‖² + ‖y‖² − 2·x·y as one product of F + 2 terms is
within 3 (F + 16) u (‖x‖² + ‖y‖²) of the squared distance. A product of n terms is off by at most n u / (1 − n u)
times the sum of their magnitudes, in any order (Higham 2002, eq. 3.5), which is here at most 2 (‖x‖² + ‖y‖²);
the lengths are products of F terms themselves, and rounding the vectors takes a few u more.

N = queries, V = views of one query, M = references, F = features, B = columns of a basis, T = queries of one
tile, X = their views, P = pairs of a view and a reference, K = neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.quality.distances import Features

__all__ = ["Gathering", "NearestK", "NearestSearch", "pair_distances"]

_TILE_ELEMENTS = 1 << 20  # distances of a tile: 4 MB, which a cache holds
_MOST_QUERIES = 64  # of a tile
_PAIRS = 1 << 12  # compared at a time in float64
_UNIT_ROUNDOFF = 2.0**-24

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NearestK:
    """For each of N queries its K nearest references, the nearest first, of equals the first."""

    distance_NK: Singles
    index_NK: Indices


class NearestSearch:
    """Vectors of which the nearest are asked for."""

    def __init__(self, reference_MF: Features) -> None:
        self._vectors_MF = reference_MF
        self._products = _Products(reference_MF.mean(0, dtype=np.float64))
        self._products.add(reference_MF)

    def __len__(self) -> int:
        return len(self._vectors_MF)

    def nearest(self, query_NVF: Features, k: int = 1, *, left_out_N: Indices | None = None) -> NearestK:
        """The k ≥ 1 nearest references of queries that are seen in V ways each, each reference by its nearest view.

        `left_out_N` names one reference for each query that does not count: the query itself, where it is one of
        them. Raises InputError where fewer than k references are left.
        """
        left = len(self._vectors_MF) - (left_out_N is not None)
        if k < 1 or left < k:
            raise InputError(f"the {k}-th nearest of {left} references: there is none")
        found = NearestK(np.empty((len(query_NVF), k), np.float32), np.empty((len(query_NVF), k), np.int64))
        for rows in _tiles(query_NVF, len(self._vectors_MF)):
            left_out_T = None if left_out_N is None else left_out_N[rows]
            found.distance_NK[rows], found.index_NK[rows] = self._tile(query_NVF[rows], k, left_out_T)
        return found

    def _tile(self, query_TVF: Features, k: int, left_out_T: Indices | None) -> tuple[Singles, Indices]:
        squared_TVM, tolerance_T = self._products.squared(query_TVF)
        if left_out_T is not None:
            squared_TVM[np.arange(len(query_TVF)), :, left_out_T] = np.inf
        squared_TM = squared_TVM.min(1)
        kth_T = squared_TM.min(1) if k == 1 else np.partition(squared_TM, k - 1, axis=1)[:, k - 1]
        most_T = _above(kth_T + 2 * tolerance_T)  # what is taken for the k-th nearest may be off as well
        query_P, reference_P = np.nonzero(squared_TM <= most_T[:, None])
        pair_P, view_P = np.nonzero(squared_TVM[query_P, :, reference_P] <= most_T[query_P, None])
        distance_P = pair_distances(query_TVF[query_P[pair_P], view_P], self._vectors_MF[reference_P[pair_P]])
        nearest_P = np.full(len(query_P), np.inf)
        np.minimum.at(nearest_P, pair_P, distance_P)
        order = np.lexsort((reference_P, nearest_P, query_P))
        begins_T = np.searchsorted(query_P, np.arange(len(query_TVF)))
        chosen_TK = order[begins_T[:, None] + np.arange(k)]
        return nearest_P[chosen_TK].astype(np.float32), reference_P[chosen_TK]


class Gathering:
    """Vectors that come one after another, of which those near to a query are asked for.

    `center_F` is a vector in their midst: near the origin products lose the fewest digits. `basis_FB` has
    orthonormal columns and B < F: two vectors are at least as far apart as their products with it, so that most
    pairs need no other look. `vectors_MF` are those that are there.
    """

    def __init__(self, center_F: Doubles, basis_FB: Doubles | None = None) -> None:
        self.vectors_MF = np.empty((0, len(center_F)), np.float32)
        self._products = _Products(center_F, basis_FB)

    def add(self, vector_NF: Features) -> None:
        """Put more behind those that are there."""
        self.vectors_MF = np.concatenate([self.vectors_MF, vector_NF])
        self._products.add(vector_NF)

    def drop(self, numbers: Indices) -> None:
        """Forget these; those behind them move up."""
        if len(numbers):
            self.vectors_MF = np.delete(self.vectors_MF, numbers, axis=0)
            self._products.drop(numbers)

    def within(self, query_NVF: Features, distance: float) -> tuple[Indices, Indices]:
        """The pairs of a query and a vector, by their numbers, of which a view is nearer than `distance`.

        In the order of the queries and, of one query, in that of the vectors.
        """
        vectors = len(self.vectors_MF)
        near = [np.empty(0, np.int64)]  # query · vectors + vector
        for rows in _tiles(query_NVF, vectors) if distance > 0 and vectors else ():
            query_TVF = query_NVF[rows]
            squared_TVM, tolerance_T = self._products.squared(query_TVF)
            most_T = _above(distance**2 + tolerance_T)
            query_P, view_P, vector_P = np.nonzero(squared_TVM <= most_T[:, None, None])
            distance_P = pair_distances(query_TVF[query_P, view_P], self.vectors_MF[vector_P])
            near.append(((query_P + rows.start) * vectors + vector_P)[distance_P < distance])
        pairs = np.unique(np.concatenate(near))
        return np.divmod(pairs, max(1, vectors))


def pair_distances(x_PF: Features, y_PF: Features) -> Doubles:
    """Euclidean distance of each x to its y, [P], from their difference: a copy's is exactly 0."""
    distance_P = np.empty(len(x_PF))
    for first in range(0, len(x_PF), _PAIRS):
        block = slice(first, first + _PAIRS)
        difference_PF = x_PF[block].astype(np.float64) - y_PF[block]
        distance_P[block] = np.sqrt(np.einsum("pf,pf->p", difference_PF, difference_PF))
    return distance_P


class _Products:
    """Vectors in float32 about a center, in a basis where there is one, with what their products need."""

    def __init__(self, center_F: Doubles, basis_FB: Doubles | None = None) -> None:
        self._center_F = center_F.astype(np.float32)  # any center is right, and this one costs no rounding
        self._basis_FB = basis_FB
        terms = len(center_F) if basis_FB is None else basis_FB.shape[1]
        self._rows_MG = np.empty((0, terms + 2), np.float32)  # -2 y, ‖y‖², 1
        self._most_squared = 0.0
        self._roundings = 3 * (terms + 16) * _UNIT_ROUNDOFF

    def add(self, vector_NF: Features) -> None:
        rows_NG, squared_N = self._columns(vector_NF)
        rows_NG[:, :-2] *= -2
        rows_NG[:, -2:] = rows_NG[:, :-3:-1]
        self._rows_MG = np.concatenate([self._rows_MG, rows_NG])
        self._most_squared = max(self._most_squared, float(squared_N.max(initial=0.0)))

    def drop(self, numbers: Indices) -> None:
        self._rows_MG = np.delete(self._rows_MG, numbers, axis=0)

    def squared(self, query_TVF: Features) -> tuple[Singles, Doubles]:
        """Squared distances, [T, V, M], and how far any of a query's is off at most, [T]."""
        queries, views, features = query_TVF.shape
        columns_XG, squared_X = self._columns(query_TVF.reshape(-1, features))
        squared_XM = columns_XG @ self._rows_MG.T
        most_T = squared_X.reshape(queries, views).max(1).astype(np.float64) + self._most_squared
        return squared_XM.reshape(queries, views, -1), self._roundings * most_T

    def _columns(self, vector_NF: Features) -> tuple[Singles, Singles]:
        """x, 1, ‖x‖² of each vector, [N, F + 2] or, in the basis, [N, B + 2]; and ‖x‖² alone."""
        columns_NG = np.empty((len(vector_NF), self._rows_MG.shape[1]), np.float32)
        x_NB = columns_NG[:, :-2]
        if self._basis_FB is None:
            np.subtract(vector_NF, self._center_F, out=x_NB)
        else:
            # What float32 would round off the vectors may be long beside what is left of them in the basis.
            x_NB[:] = np.subtract(vector_NF, self._center_F, dtype=np.float64) @ self._basis_FB
        columns_NG[:, -2] = 1
        columns_NG[:, -1] = np.einsum("nb,nb->n", x_NB, x_NB)
        return columns_NG, columns_NG[:, -1]


def _above(value_T: Doubles) -> Singles:
    """The next float32 above each number."""
    return np.nextafter(value_T.astype(np.float32), np.float32(np.inf))


def _tiles(query_NVF: Features, references: int) -> Iterator[slice]:
    """Rows of so few queries that the distances of their views fit into a cache."""
    queries = _TILE_ELEMENTS // max(1, query_NVF.shape[1] * references)
    queries = min(_MOST_QUERIES, max(1, queries))
    return (slice(first, first + queries) for first in range(0, len(query_NVF), queries))
