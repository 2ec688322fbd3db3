"""``audiosocket-gw page FILE``, and ``replay FILE --html OUT``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from uuid import UUID

from audiosocket_gw.call_page.files import PageError, page_of_file
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.log.text import escape

STANDARD_OUTPUT = Path("-")


def run_page(
    path: Path, output: Path | None = None, *, uuid: UUID | None = None, with_audio: bool = False
) -> int:
    """Write the page of a call, and return the exit status 0.

    ``output``: where to; ``-`` is standard output; the default is the file's name with ``.html``, in the
    working directory. See `page_of_file` for the rest.

    Raises:
        ConfigurationError: there is no page of this file, or it can't be written.
    """
    try:
        page = page_of_file(path, uuid, with_audio=with_audio)
    except PageError as error:
        raise ConfigurationError(f"{path}: {escape(str(error))}") from None
    if output == STANDARD_OUTPUT:
        sys.stdout.buffer.write(page)
        return 0
    output = output or Path(f"{path.stem}.html")
    try:
        with open(output, "wb", opener=_for_its_owner) as file:
            file.write(page)
    except OSError as error:
        raise ConfigurationError(f"{output}: {error.strerror}") from None
    print(f"{output}  open it in a browser")
    return 0


def _for_its_owner(path: str, flags: int) -> int:
    """Create a file as private as the one that the page is made of: it has what was said, and voices."""
    return os.open(path, flags, 0o600)
