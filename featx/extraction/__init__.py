"""`extract`: from images to a feature store, resumable, one bad image at a time.

The modules follow the work:

    request     what was asked for
    existing    what is there: the store, and unfinished parts (`stored`: of each image)
    changes     what is new, changed and gone since
    plan        these three together, frozen; `agreement`: whether they go together
    preparing   the model, the header of the store, room on the disk
    running     compute and write what the plan says; `forecast`: the dry run
    report      the outcome

What passes between steps is frozen: each takes the results of earlier ones and returns its own.
"""

from featx.extraction.extracting import extract as extract
from featx.extraction.report import ExtractReport as ExtractReport
