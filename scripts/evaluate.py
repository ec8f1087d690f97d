"""Test a run again from its checkpoint, or predict: `python scripts/evaluate.py outputs/<study>/<run>`."""

import sys

try:
    from glassbox.config.evaluation import main
except ModuleNotFoundError as error:
    sys.exit(f"No module named '{error.name}': run `make install`, then `source .venv/bin/activate`")

if __name__ == "__main__":
    main()
