"""Tasks, baselines and sweeps over trained models; empty until they are built."""
