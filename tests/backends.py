"""The array libraries that the library's tests run on, and a fixture that runs a test on each of them."""

import numpy as np
import pytest
import torch


class NumPy:
    name = "numpy"
    dtypes = ("float16", "float32", "float64")

    def array(self, data, dtype="float64"):
        return np.asarray(data).astype(dtype)

    def numpy(self, array):
        assert isinstance(array, np.ndarray)
        return array

    def dtype(self, array):
        return str(array.dtype)


class Torch:
    name = "torch"
    dtypes = ("float16", "bfloat16", "float32", "float64")

    def __init__(self, device="cpu"):
        self.torch, self.device = torch, device

    def array(self, data, dtype="float64"):
        return self.torch.tensor(np.asarray(data), dtype=getattr(self.torch, dtype), device=self.device)

    def numpy(self, array):
        assert isinstance(array, self.torch.Tensor) and array.device.type == self.device
        array = array.detach().cpu()
        return (array.float() if array.dtype == self.torch.bfloat16 else array).numpy()

    def dtype(self, array):
        return str(array.dtype).removeprefix("torch.")


@pytest.fixture(params=["numpy", "torch", "cuda"])
def backend(request):
    """NumPy, torch on the CPU, torch on a GPU."""
    if request.param == "numpy":
        return NumPy()
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    return Torch("cuda" if request.param == "cuda" else "cpu")


@pytest.fixture
def rng():
    """Random numbers, the same in every run."""
    return np.random.default_rng(20250912)
