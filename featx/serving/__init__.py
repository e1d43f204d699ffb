"""`featx.serve`: search, predictions and curation of a store over HTTP.

Routes call the functions that everybody can call; what is here is only what a server adds: limits,
queues, tokens, and one version of the files for each answer.
"""
