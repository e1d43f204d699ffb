"""How well copies, wrong labels, leaks and drift are found: made on purpose, and counted."""
