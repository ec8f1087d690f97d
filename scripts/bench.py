"""Measure Glassbox against its rivals, as ratios within one run: `python scripts/bench.py step`."""

import argparse
import sys

try:
    from glassbox.bench import engine, launch, measure, sweep
except ModuleNotFoundError as error:
    sys.exit(f"No module named '{error.name}': run `make install`, then `source .venv/bin/activate`")

BENCHMARKS = {
    "step": measure.step,
    "run": measure.run,
    "start": measure.start,
    "launch": launch.launch,
    "engine": engine.engine,
    "sweep": sweep.sweep,
}


def main() -> None:
    """Run the named benchmarks; exit 1 if a ratio is not reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all by default"
    )
    names = parser.parse_args().names or list(BENCHMARKS)
    reached = [BENCHMARKS[name]() for name in names]
    sys.exit(0 if all(reached) else 1)


if __name__ == "__main__":
    main()
