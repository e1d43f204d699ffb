"""Finding images: which there are, in which order, under which key, with which label.

One module for each kind of source, one line in `finding.IMAGE_SOURCES`.
"""

from featx.images.sources.finding import IMAGE_SOURCES as IMAGE_SOURCES
from featx.images.sources.finding import find_images as find_images
from featx.images.sources.folders import SHEET_MARK as SHEET_MARK
from featx.images.sources.folders import is_sheet as is_sheet
from featx.images.sources.gathering import EVERYTHING as EVERYTHING
from featx.images.sources.gathering import Images as Images
from featx.images.sources.gathering import gather as gather
from featx.images.sources.items import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from featx.images.sources.items import ImageFailure as ImageFailure
from featx.images.sources.items import ImageItem as ImageItem
from featx.images.sources.items import ImageSet as ImageSet
from featx.images.sources.items import beginnings as beginnings
from featx.images.sources.items import label_of as label_of
from featx.images.sources.items import natural_key as natural_key
