"""Explain one training step, by hand beside torch: `python scripts/explain.py optimizer=adam lr=1e-3`."""

import sys

try:
    from glassbox.config.explanation import main
except ModuleNotFoundError as error:
    sys.exit(f"No module named '{error.name}': run `make install`, then `source .venv/bin/activate`")

if __name__ == "__main__":
    main()
