"""Vector indexes: which stored pictures look most like this one."""
