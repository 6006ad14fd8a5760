"""Pictures stay within their budget, and say what was given up for it."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augment.report.html.document import Picture
from augment.report.html.pictures import RejectedPixels, SheetPixels, embed_sheets


def noise(count: int, size: int = 24, channels: int = 3, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), np.uint8)


def decoded(picture: Picture) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2]))).convert("RGB"))


@pytest.mark.parametrize("channels", [1, 3])
def test_what_fits_is_lossless_and_of_full_size(channels: int) -> None:
    real, synthetic = noise(3, channels=channels), noise(2, channels=channels, seed=1)
    sheets = embed_sheets([SheetPixels(0, real, synthetic)])
    assert (sheets.side, sheets.original_side, sheets.encoding) == (24, 24, "lossless WebP")
    for pixels_HWC, picture in zip(real, sheets.classes[0].real, strict=True):
        np.testing.assert_array_equal(decoded(picture), np.broadcast_to(pixels_HWC, (24, 24, 3)))
    for pixels_HWC, pair in zip(synthetic, sheets.classes[0].pairs, strict=True):
        np.testing.assert_array_equal(decoded(pair.synthetic), np.broadcast_to(pixels_HWC, (24, 24, 3)))


@pytest.mark.parametrize("budget_bytes", [200_000, 60_000, 12_000, 4_000])
def test_the_budget_holds_and_the_words_say_what_was_done(budget_bytes: int) -> None:
    sheets = embed_sheets(
        [SheetPixels(label, noise(12, 64), noise(12, 64, seed=1)) for label in range(4)],
        budget_bytes=budget_bytes,
    )
    uris = [
        picture.uri
        for one in sheets.classes
        for picture in (*one.real, *(pair.synthetic for pair in one.pairs))
    ]
    assert sum(map(len, uris)) <= budget_bytes
    assert "quality" in sheets.encoding
    assert decoded(sheets.classes[0].real[0]).shape[0] == sheets.side
    assert {len(one.real) for one in sheets.classes} == {len(sheets.classes[0].pairs)}


def test_a_sample_keeps_its_nearest_image_and_its_distance() -> None:
    synthetic, nearest = noise(2), noise(2, seed=1)
    (sheet,) = embed_sheets([SheetPixels(7, noise(0), synthetic, nearest, [1.5, 2.5])]).classes
    assert [pair.distance for pair in sheet.pairs] == [1.5, 2.5]
    for pair, pixels_HWC in zip(sheet.pairs, nearest, strict=True):
        assert pair.nearest is not None
        np.testing.assert_array_equal(decoded(pair.nearest), pixels_HWC)


def test_a_rejected_candidate_keeps_its_reason() -> None:
    rejected = RejectedPixels(noise(2), ("label", "near copy"), ("taken for Bag", ""))
    (sheet,) = embed_sheets([SheetPixels(0, noise(1), noise(0), rejected=rejected)]).classes
    assert [(one.gate, one.reason) for one in sheet.rejected] == [
        ("label", "taken for Bag"),
        ("near copy", ""),
    ]


def test_what_cannot_be_embedded_is_refused() -> None:
    with pytest.raises(ValueError, match="don't fit into 10 bytes"):
        embed_sheets([SheetPixels(0, noise(1), noise(1))], budget_bytes=10)
    with pytest.raises(ValueError, match="one shape"):
        embed_sheets([SheetPixels(0, noise(1, 16), noise(1, 24))])
