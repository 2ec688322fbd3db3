"""Starts `apart.main`: `apart.page_of_file_apart` runs it."""

import sys

from audiosocket_gw.call_page.apart import main

sys.exit(main(sys.argv[1:]))
