"""numpy arrays and the library's tensors; safetensors files."""
import json
import os
import tempfile
from typing import Dict, Mapping, Optional, Tuple

import numpy as np

# In the order of enum lvt_dtype. numpy has no bf16: its bits are u16.
DTYPES = [np.dtype("<f4"), np.dtype("<u2"), np.dtype("<f8"), np.dtype("<i4"), np.dtype("u1"), np.dtype("?")]
NAMES = ["f32", "bf16", "f64", "i32", "u8", "bool"]

_STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8",
           "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"}
_STORE = {np.dtype(v): k for k, v in _STORED.items()}


def as_array(value) -> np.ndarray:
    """Anything that numpy understands; a tensor of PyTorch also with a gradient, or on another device."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        value = value.numpy()
    return np.asarray(value)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def read_safetensors(path) -> Tuple[Dict[str, np.ndarray], Dict[str, str]]:
    """All tensors of a file by name, and its metadata. bf16 becomes f32. Raises ValueError for what is no such file."""
    with open(path, "rb") as f:
        data = f.read()
    if len(data) < 8 or int.from_bytes(data[:8], "little") > len(data) - 8:
        raise ValueError(f"{path}: not a safetensors file")
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin].decode("utf-8"))
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, about in header.items():
        first, last = about["data_offsets"]
        bf16 = about["dtype"] == "BF16"
        kind = np.dtype("<u2" if bf16 else _STORED[about["dtype"]])
        count = int(np.prod(about["shape"], dtype=np.int64))
        if first < 0 or last > len(data) - begin or last - first != count * kind.itemsize:
            raise ValueError(f"{path}: {name} does not lie within the file")
        array = np.frombuffer(data, kind, count, begin + first).reshape(about["shape"])
        tensors[name] = from_bf16(array) if bf16 else array.copy()
    return tensors, metadata


def write_safetensors(path, tensors: Mapping, metadata: Optional[Mapping[str, str]] = None) -> None:
    """Writes arrays (or tensors of PyTorch) by name, whole or not at all. Large elements first, so that all are aligned."""
    arrays = {name: np.ascontiguousarray(as_array(v)).reshape(np.shape(as_array(v))) for name, v in tensors.items()}
    for name, a in arrays.items():
        arrays[name] = a.astype(a.dtype.newbyteorder("<"), copy=False)
        if arrays[name].dtype not in _STORE:
            raise ValueError(f"{name}: elements of type {a.dtype} cannot be stored")
    order = sorted(arrays, key=lambda n: (-arrays[n].dtype.itemsize, n))
    header, at = {}, 0
    if metadata:
        header["__metadata__"] = dict(metadata)
    for name in order:
        a = arrays[name]
        header[name] = {"dtype": _STORE[a.dtype], "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    folder = os.path.dirname(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".lvt-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text)
            for name in order:
                f.write(arrays[name].tobytes())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
