"""Finding images: which there are, in which order, under which key, with which label.

One module for each source, and one line in the registry `IMAGE_SOURCES`.
"""

from featx.images.sources.endings import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from featx.images.sources.finding import find_images as find_images
from featx.images.sources.folders import SHEET_MARK as SHEET_MARK
from featx.images.sources.folders import is_sheet as is_sheet
from featx.images.sources.gathering import EVERYTHING as EVERYTHING
from featx.images.sources.gathering import Array as Array
from featx.images.sources.gathering import ArrowTable as ArrowTable
from featx.images.sources.gathering import DataFrame as DataFrame
from featx.images.sources.gathering import Dataset as Dataset
from featx.images.sources.gathering import Images as Images
from featx.images.sources.gathering import Label as Label
from featx.images.sources.gathering import Labels as Labels
from featx.images.sources.gathering import Location as Location
from featx.images.sources.gathering import Picture as Picture
from featx.images.sources.gathering import PillowImage as PillowImage
from featx.images.sources.gathering import gather as gather
from featx.images.sources.items import ImageFailure as ImageFailure
from featx.images.sources.items import ImageItem as ImageItem
from featx.images.sources.items import ImageSet as ImageSet
from featx.images.sources.items import Listing as Listing
from featx.images.sources.items import Reader as Reader
from featx.images.sources.keys import beginnings as beginnings
from featx.images.sources.keys import label_of as label_of
from featx.images.sources.keys import natural_key as natural_key
from featx.images.sources.kinds import IMAGE_SOURCES as IMAGE_SOURCES
from featx.images.sources.kinds import ImageSource as ImageSource
from featx.images.sources.request import SourceRequest as SourceRequest
