"""Bytes in: STAC, SAFE, rasters and DEMs become values and `WindowReader`s. No dask here."""
