"""Fail if a module that the caller names can be imported: `python tests/absent.py boto3 awscrt`."""

import importlib.util
import sys


def main() -> None:
    present = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is not None]
    if present:
        sys.exit(f"this environment must not have: {', '.join(present)}")


if __name__ == "__main__":
    main()
