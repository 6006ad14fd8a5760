import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.gan.tiles import in_tiles, one_cpu_thread, repeatable_kernels

CPU = torch.device("cpu")


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(0, 70), tile=st.integers(1, 40))
def test_every_row_goes_through_once_in_tiles_of_one_size_filled_up_with_zeros(rows, tile):
    images_BHW = np.arange(1, rows * 6 + 1, dtype=np.uint8).reshape(rows, 2, 3)
    images_BHW.flags.writeable = False  # as Ray hands arrays over
    class_B = np.arange(1, rows + 1)
    seen = []

    def forward(images_THW, class_T):
        assert torch.is_inference_mode_enabled()
        seen.append(class_T.numpy())
        return images_THW.double().sum((1, 2)) + 1000 * class_T

    result_B = in_tiles(forward, images_BHW, class_B, tile=tile, device=CPU)
    np.testing.assert_array_equal(result_B, images_BHW.sum((1, 2), dtype=np.float64) + 1000 * class_B)
    assert {len(class_T) for class_T in seen} == {tile}
    np.testing.assert_array_equal(np.concatenate(seen)[:rows], class_B)
    assert not np.concatenate(seen)[rows:].any()
    assert len(seen) == max(1, -(-rows // tile))


def test_the_callers_number_of_threads_is_left_as_it_was_even_after_an_error():
    def fail():
        with one_cpu_thread():
            assert torch.get_num_threads() == 1
            raise ZeroDivisionError

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with pytest.raises(ZeroDivisionError):
            fail()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_gpus_convolutions_are_float32_and_deterministic_inside_and_as_they_were_outside():
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True):
        with repeatable_kernels():
            assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (False, True, False)
        assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (True, False, True)
