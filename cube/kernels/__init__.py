"""One file per piece of physics: numpy and numba on plain arrays.

Nothing here knows xarray, dask, zarr or a file format. Errors are ``ValueError`` and subclasses.
Compiled kernels are strict IEEE (no fastmath), so that a pixel's value never depends on its place
in an array, and they release the GIL.
"""
