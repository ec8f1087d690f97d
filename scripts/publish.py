"""Send runs to a W&B server: `python scripts/publish.py [STUDY …]`."""

import sys

try:
    from glassbox.config.publication import main
except ModuleNotFoundError as error:
    sys.exit(f"No module named '{error.name}': run `make install`, then `source .venv/bin/activate`")

if __name__ == "__main__":
    main()
