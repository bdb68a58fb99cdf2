"""Shards, loader and models that consume manifests; empty until they are built."""
