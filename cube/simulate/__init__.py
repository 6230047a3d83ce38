"""Sentinel-1 GRD products of a known world: exact geometry, known backscatter, known flood.

Nothing here shares code with the processor: an error of sign or datum in either shows up.
"""
