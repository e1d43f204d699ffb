"""The command line: one thin file for each command, argv → one library call → render."""
