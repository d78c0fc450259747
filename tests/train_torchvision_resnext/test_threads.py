import ctypes
import sys

import pytest
import torch

from train_torchvision_resnext.resnext.threads import fixed_threads


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is loaded on Linux only")
def test_the_adjustment_that_ikomia_turns_on_is_off_within_and_on_again_after():
    # The import of Ikomia in conftest.py has turned it on; torch uses the same library.
    assert torch.get_num_threads() >= 1
    openmp = ctypes.CDLL("libgomp.so.1")
    before = openmp.omp_get_dynamic()
    openmp.omp_set_dynamic(1)
    try:
        with fixed_threads():
            assert openmp.omp_get_dynamic() == 0
        assert openmp.omp_get_dynamic() == 1
        with pytest.raises(ValueError, match="x"), fixed_threads():
            raise ValueError("x")
        assert openmp.omp_get_dynamic() == 1
    finally:
        openmp.omp_set_dynamic(before)
