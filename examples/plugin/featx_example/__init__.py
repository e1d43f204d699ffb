"""An add-on for featx: a head, an export format and a model source."""
