"""Compare runs: `python scripts/compare.py [STUDY …]`."""

import sys

try:
    from glassbox.config.comparison import main
except ModuleNotFoundError as error:
    sys.exit(f"No module named '{error.name}': run `make install`, then `source .venv/bin/activate`")

if __name__ == "__main__":
    main()
