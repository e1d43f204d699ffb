"""Pages in HTML: one template and style, charts, tables and thumbnails; every text is escaped."""

from featx.report.page.document import Page as Page
from featx.report.page.document import Section as Section
from featx.report.page.document import check_page_path as check_page_path
from featx.report.page.document import write_page as write_page
from featx.report.page.markup import Markup as Markup
from featx.report.page.markup import element as element
