"""`extract`: from images to a feature store, resumable, one bad image at a time.

The modules follow the work: what was asked for (`request`), what is there already (`existing`),
what has changed since (`changes`), computing the rest (`running`), what was done (`report`).
"""

from featx.extraction.extracting import extract as extract
from featx.extraction.report import ExtractReport as ExtractReport
