"""Which 64-bit hashes differ in few bits, without comparing every pair.

Owns the search alone: pure functions over arrays of hashes. Knows nothing of images.

The search rests on blocks of bits (multi-index hashing: Norouzi, Punjani & Fleet, "Fast Search in Hamming
Space with Multi-Index Hashing", CVPR 2012; several blocks at once as in Manku, Jain & Das Sarma,
"Detecting Near-Duplicates for Web Crawling", WWW 2007). Two hashes that differ in at most d bits differ in
at most d of b blocks, so they agree in some b - d of them. For every choice of b - d blocks the hashes are
sorted by the bits in them; only those that stand in one run are compared. More blocks make shorter runs and
more sorts: b is the smallest that gives a run about one hash by chance (log2 n bits in the key).

Axes: N = hashes.
"""

import math
from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_DISTANCE", "first_near", "hamming_distance"]

MAX_DISTANCE = 8  # of 64 bits; beyond it, unlike images are as near, and the sorts become many
_BITS = 64

Hashes = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]


def first_near(hashes_N: Hashes, max_distance: int) -> Positions:
    """Per hash, the position of the first hash within `max_distance` bits of it; its own if none is earlier.

    0 ≤ max_distance ≤ 8. `hashes_N` must be distinct. Memory is a few times that of the hashes, however
    many pairs are near. Time is that of C(b, d) sorts, plus the pairs that agree in b - d blocks.
    """
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance={max_distance} is not 0 to {MAX_DISTANCE}")
    first_N = np.arange(len(hashes_N), dtype=np.int64)
    for mask in _block_masks(len(hashes_N), max_distance):
        for one_P, other_P in _neighbours(hashes_N & mask):
            near_P = hamming_distance(hashes_N[one_P], hashes_N[other_P]) <= max_distance
            one_P, other_P = one_P[near_P], other_P[near_P]
            np.minimum.at(first_N, one_P, other_P)
            np.minimum.at(first_N, other_P, one_P)
    return first_N


def hamming_distance(one_N: Hashes, other_N: Hashes) -> npt.NDArray[np.int64]:
    """Bits in which two hashes differ, pair by pair: 0 … 64."""
    return _bit_counts(one_N ^ other_N)


def _bit_counts(words_N: Hashes) -> npt.NDArray[np.int64]:
    """Set bits of each word, in parallel sums of 2, 4 and 8 bits (Warren, Hacker's Delight, fig. 5-2).

    numpy.bitwise_count does the same from NumPy 2.0 on; 1.26 is supported too.
    """
    words_N = words_N - ((words_N >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    words_N = (words_N & pairs) + ((words_N >> np.uint64(2)) & pairs)
    words_N = (words_N + (words_N >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((words_N * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)


def _block_masks(hashes: int, max_distance: int) -> list[np.uint64]:
    """The bits of every choice of b - d blocks."""
    if not max_distance:
        return [np.uint64(2**_BITS - 1)]
    key_bits = math.log2(max(hashes, 2))
    blocks = max_distance + 1
    while _BITS * (blocks - max_distance) / blocks < key_bits and blocks < _BITS:
        blocks += 1
    edges = [round(_BITS * block / blocks) for block in range(blocks + 1)]
    of_block = [(1 << high) - (1 << low) for low, high in pairwise(edges)]
    return [np.uint64(sum(chosen)) for chosen in combinations(of_block, blocks - max_distance)]


def _neighbours(keys_N: Hashes) -> Iterator[tuple[Positions, Positions]]:
    """Every pair of positions with equal keys, in parts of at most N pairs."""
    order_N = np.argsort(keys_N, kind="stable")
    sorted_N = keys_N[order_N]
    start_P = np.arange(len(keys_N) - 1, dtype=np.int64)
    offset = 1
    while len(start_P):
        # Runs are contiguous: where the hash `offset` on has another key, so has every one after it.
        start_P = start_P[start_P + offset < len(keys_N)]
        start_P = start_P[sorted_N[start_P] == sorted_N[start_P + offset]]
        yield order_N[start_P], order_N[start_P + offset]
        offset += 1
