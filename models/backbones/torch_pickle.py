"""Reads PyTorch's files of weights without PyTorch, and without running what is in them."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from models.errors import ModelError


class _Storage(NamedTuple):
    """A run of numbers in a file of PyTorch."""

    key: str
    dtype: str
    length: int


class _Tensor(NamedTuple):
    """A view of a storage: the arguments of `torch._utils._rebuild_tensor_v2`, with which the file calls it."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    backward_hooks: OrderedDict[str, Any]


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
}


class _RestrictedUnpickler(pickle.Unpickler):
    """Unpickler that can name what a file of tensors needs, and nothing else, since a pickle can call anything it can name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise ModelError(
                f"Refused to read a weights file that asks for {module}.{name}: it holds more than weights."
            )
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, length, _ = pid
        return _Storage(key, dtype, length)


def read_torch_pickle(data: bytes) -> dict[str, np.ndarray]:
    """Read the format of `torch.save` before version 1.6, as views of `data`.

    It is five pickles (magic number, protocol, system, tensors, keys of the storages), then the storages in the order
    of those keys, each as an 8-byte count and the numbers.

    Args:
        data: content of the file.

    Returns:
        The tensors by name, in the order of the file.

    Raises:
        ModelError: the file asks for anything but tensors.

    Examples:
        >>> read_torch_pickle(b"".join(pickle.dumps(one) for one in (1, 1, {}, {}, [])))
        {}
        >>> read_torch_pickle(pickle.dumps(print))
        Traceback (most recent call last):
        models.errors.ModelError: Refused to read a weights file that asks for builtins.print: it holds more than weights.
    """
    stream = io.BytesIO(data)
    _, _, _, tensors, keys = (_RestrictedUnpickler(stream).load() for _ in range(5))
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    numbers = {}
    position = stream.tell()
    for key in keys:
        numbers[key] = np.frombuffer(data, storages[key].dtype, storages[key].length, offset=position + 8)
        position += 8 + numbers[key].nbytes
    return {name: _view(numbers[tensor.storage.key], tensor) for name, tensor in tensors.items()}


def _view(numbers: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """Return a tensor's elements in place; NumPy itself refuses strides that leave the buffer."""
    size = numbers.itemsize
    strides = [size * stride for stride in tensor.strides]  # kernels are stored permuted, in TensorFlow's order
    return np.ndarray(tensor.shape, numbers.dtype, buffer=numbers, offset=size * tensor.offset, strides=strides)
