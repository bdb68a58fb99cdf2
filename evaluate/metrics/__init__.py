"""Metrics: plain functions of truths and predictions, each with a version."""
