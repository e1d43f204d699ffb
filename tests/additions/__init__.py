"""One addition of each kind, as other packages bring them: one file and one registration each."""
