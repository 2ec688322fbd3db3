"""Starts `apart.main`: `apart.make_page_apart` runs it."""

import sys

from audiosocket_gw.call_page.apart import main

sys.exit(main())
