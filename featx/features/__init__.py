"""Features of decoded images: batch by batch (`computing`), or of a few images (`embedding`)."""
