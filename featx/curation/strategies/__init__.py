"""The strategies of choosing pictures that featx ships, one in each module."""
