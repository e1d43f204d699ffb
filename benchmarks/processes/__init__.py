"""featx inside other people's programs: threads, forks, servers; see `__main__`."""
