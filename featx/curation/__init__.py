"""What is in a store: near-duplicates, doubtful labels, outliers, leaks."""
