"""What people and scripts see: tables, JSON lines, progress. Nothing here computes."""
