"""`python -m glassbox.data` draws the toy sets into outputs/toy.png."""

from pathlib import Path

from glassbox.data.toy import circles, moons, spiral, xor
from glassbox.drawing import scatter


def main() -> None:
    """Draw the toy sets and print where."""
    picture = Path("outputs") / "toy.png"
    picture.parent.mkdir(exist_ok=True)
    scatter({"moons": moons(), "circles": circles(), "xor": xor(), "spiral": spiral()}, picture)
    print(picture)


if __name__ == "__main__":
    main()
