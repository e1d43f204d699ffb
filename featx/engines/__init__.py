"""Ways to run a graph, one module for each; a model source hands its graph to one of them."""
