"""From files to pixels: find images, decode them, fit them to a model's input, scale them."""
