"""What `benchmarks.speed` runs: competitors, each in a process of its own, and their table."""
