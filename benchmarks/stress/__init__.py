"""Stress: what was committed is never lost and never half there; running again finishes the job.

Run with ``python -m benchmarks.stress --help`` from the root of the repository.
"""
