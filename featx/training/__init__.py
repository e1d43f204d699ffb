"""Fine-tuning: a network trained on from its stored features and a head."""
