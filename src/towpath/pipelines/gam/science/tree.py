"""Writes datasets as Zarr version 3 trees and reads them back.

Equal datasets give trees with equal bytes, whatever the machine and the number of threads: chunks and codec are fixed
and there is no consolidated metadata. An existing tree is never overwritten.
"""

from pathlib import Path

import xarray as xr
from zarr.codecs import ZstdCodec

CHUNK_OF_LINE = 2**18
CHUNK_OF_PLANE = 2**9
ZSTD_LEVEL = 5


def write_tree(path: Path | str, dataset: xr.Dataset) -> None:
    """Write a dataset as a new Zarr version 3 tree.

    Parameters
    ----------
    path : pathlib.Path or str
        The folder to make; it may exist when it is empty.
    dataset : xarray.Dataset
        What to write. Attributes must be plain numbers, texts or lists of them.
    """
    encoding = {name: _encoding(variable) for name, variable in dataset.variables.items() if variable.ndim}
    dataset.drop_encoding().to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding)


def read_tree(path: Path | str) -> xr.Dataset:
    """Read a dataset whole into memory from a tree that `write_tree` made."""
    with xr.open_zarr(path, zarr_format=3, consolidated=False, chunks=None) as dataset:
        loaded: xr.Dataset = dataset[sorted(map(str, dataset.data_vars))].load()
    return loaded


def _encoding(variable: xr.Variable) -> dict[str, object]:
    largest = CHUNK_OF_LINE if variable.ndim == 1 else CHUNK_OF_PLANE
    return {
        "chunks": tuple(min(size, largest) for size in variable.shape),
        "compressors": (ZstdCodec(level=ZSTD_LEVEL, checksum=True),),
    }
