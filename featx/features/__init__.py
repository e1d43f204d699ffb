"""From decoded images to features: batch by batch (`computing`), or of a few (`embedding`)."""
