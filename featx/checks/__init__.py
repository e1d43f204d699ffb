"""Checks of options that are passed in Python: most return the value in its plain form.

Types are taken as people have them: any path, whole numbers of NumPy, one layer or several. What
cannot be used is one sentence that says what is taken.
"""
