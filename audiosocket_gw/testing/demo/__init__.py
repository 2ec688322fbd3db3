"""The demo: a whole call without a PBX, shown in the terminal and as a page.

`run_demo` is the command ``audiosocket-gw demo``. It shows the call in the terminal and writes its audio and
a page about it.
"""

from audiosocket_gw.testing.demo.demo import run_demo

__all__ = ["run_demo"]
