"""Stores in object stores, at ``s3://`` and ``gs://``: addresses, requests, copies."""
