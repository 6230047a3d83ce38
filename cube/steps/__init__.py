"""Kernels on lazy arrays: graphs only. Nothing here computes, writes or searches."""
