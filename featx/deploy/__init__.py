"""A head and the network below it as one model, for programs that know nothing of featx."""
