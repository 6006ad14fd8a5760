"""augment.seeds: streams that depend on the index alone, on a generator with published answers."""

import hashlib

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from augment.seeds import digest64, normals, stream_id, uniforms

MASK = (1 << 64) - 1

# Known answers of Philox4x64-10 from Random123's kat_vectors: counter, key, words.
KNOWN_ANSWERS = [
    ([0] * 4, [0] * 2, "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"),
    ([MASK] * 4, [MASK] * 2, "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0"),
    (
        [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89],
        [0x452821E638D01377, 0xBE5466CF34E90C6C],
        "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
    ),
]

indices = st.integers(0, 2**60)
seeds = st.integers(0, 2**63 - 1)
streams = st.integers(0, MASK)


def philox4x64(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 written down from Salmon et al. 2011, §4.3, independent of numpy's."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        product0, product1 = 0xD2E7470EE14C6C93 * x0, 0xCA5A826395121157 * x2
        x0, x1, x2, x3 = (
            (product1 >> 64) ^ x1 ^ k0,
            product1 & MASK,
            (product0 >> 64) ^ x3 ^ k1,
            product0 & MASK,
        )
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return [x0, x1, x2, x3]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_gives_random123s_known_answers(counter: list[int], key: list[int], words: str) -> None:
    expected = [int(word, 16) for word in words.split()]
    assert philox4x64(counter, key) == expected
    # numpy steps the counter before it is used.
    before = sum(part << (64 * place) for place, part in enumerate(counter)) - 1
    generator = np.random.Philox(key=np.array(key, dtype=np.uint64), counter=before % (1 << 256))
    assert generator.random_raw(4).tolist() == expected


@given(seed=seeds, stream=streams, index=indices)
def test_uniforms_are_the_top_53_bits_of_philox_words(seed: int, stream: int, index: int) -> None:
    words = philox4x64([index + 1, 0, 0, 0], [seed, stream])
    assert uniforms(seed, stream, index, 1, 4).tolist() == [[(word >> 11) / 2**53 for word in words]]


@given(seed=seeds, stream=streams, first=indices, rows=st.integers(0, 9), width=st.integers(1, 11))
def test_a_block_is_its_rows_one_by_one(seed: int, stream: int, first: int, rows: int, width: int) -> None:
    for draw in (uniforms, normals):
        block = draw(seed, stream, first, rows, width)
        assert block.shape == (rows, width)
        for row in range(rows):
            np.testing.assert_array_equal(block[row], draw(seed, stream, first + row, 1, width)[0])


@given(seed=seeds, first=indices)
def test_seeds_streams_and_indices_each_change_the_numbers(seed: int, first: int) -> None:
    here = normals(seed, stream_id("a"), first, 1, 8)
    for other in (
        normals(seed ^ 1, stream_id("a"), first, 1, 8),
        normals(seed, stream_id("b"), first, 1, 8),
        normals(seed, stream_id("a", 0), first, 1, 8),
        normals(seed, stream_id("a"), first + 1, 1, 8),
    ):
        assert not np.any(here == other)


def test_uniforms_are_uniform_on_zero_to_one() -> None:
    drawn = uniforms(0, stream_id("test"), 0, 25_000, 4).ravel()
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    assert scipy.stats.kstest(drawn, "uniform").pvalue > 0.001


def test_normals_are_standard_normal_and_uncorrelated() -> None:
    drawn = normals(0, stream_id("test"), 0, 25_000, 5).astype(np.float64)
    count = drawn.size
    # Five standard errors of each moment under N(0, 1).
    assert abs(drawn.mean()) < 5 / count**0.5
    assert abs(drawn.var() - 1) < 5 * (2 / count) ** 0.5
    assert abs(scipy.stats.skew(drawn.ravel())) < 5 * (6 / count) ** 0.5
    assert abs(scipy.stats.kurtosis(drawn.ravel())) < 5 * (24 / count) ** 0.5
    assert scipy.stats.kstest(drawn.ravel(), "norm").pvalue > 0.001
    correlations = np.corrcoef(drawn.T) - np.eye(5)
    assert np.abs(correlations).max() < 5 / 25_000**0.5


def test_normals_are_finite_float32_everywhere() -> None:
    drawn = normals(2**63 - 1, MASK, 2**60, 1000, 7)
    assert drawn.dtype == np.float32
    assert np.isfinite(drawn).all()


def test_digest64_is_sha256_of_the_joined_parts() -> None:
    assert digest64("a", 1) == int.from_bytes(hashlib.sha256(b"a\x1f1").digest()[:8], "little")
    assert digest64("a", "b") != digest64("ab")
    assert digest64("") == int.from_bytes(bytes.fromhex("e3b0c44298fc1c14"), "little")  # SHA-256 of nothing
