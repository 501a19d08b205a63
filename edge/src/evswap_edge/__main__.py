"""The program ``evswap-edge``: the command line, in a process that is kept small (``lean`` says how)."""

import sys

from evswap_edge import lean

lean.with_one_heap()
lean.without_openssl()

from evswap_edge.command_line import main  # noqa: E402 - what this imports is not to find it

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
