"""How fast heads are fitted, in how much memory, and how good they are."""
