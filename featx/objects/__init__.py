"""Stores in object stores, at ``s3://``: addresses, requests, copies."""
