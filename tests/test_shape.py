"""The shape of the project: which way imports point, who may import what, sizes and names of files.

`violations` reads a tree of files and imports nothing. The second half plants one violation of each kind in a
small sound tree, so that every rule is seen to speak.
"""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From top to bottom. An import points down to a lower line, or sideways inside one entry.
LAYERS = (
    ("scripts", "hydra_plugins"),
    ("glassbox.bench",),  # measures the whole program
    ("glassbox.config",),
    ("glassbox.publish",),  # has the numbers of compare
    ("glassbox.population",),  # has the results of training, and its metrics
    tuple(f"glassbox.{name}" for name in ("compare", "sweep", "explain", "training", "doctor")),
    ("glassbox.tracking",),
    ("glassbox.data", "glassbox.model", "glassbox.init", "glassbox.replay", "glassbox.doctor.checks"),
    ("glassbox.mechanics",),
    ("glassbox.drawing",),
    ("glassbox.process",),
    ("glassbox.errors",),
    ("glassbox",),
)
LEVEL = {entry: level for level, row in enumerate(LAYERS) for entry in row}

# Each framework and the only places that import it.
IMPORTERS = {
    "wandb": ("glassbox.tracking", "glassbox.publish", "glassbox.bench"),
    "wandb_workspaces": ("glassbox.publish",),
    "matplotlib": ("glassbox.compare", "glassbox.drawing"),
    "plotly": ("glassbox.compare", "glassbox.drawing"),
    "optuna": ("glassbox.sweep", "glassbox.compare"),
    "hydra": ("glassbox.config", "scripts", "hydra_plugins"),
    "omegaconf": ("glassbox.config", "scripts", "hydra_plugins"),
} | dict.fromkeys(
    ("lightning", "pytorch_lightning"),
    ("glassbox.training", "glassbox.bench", "glassbox.data.module", "glassbox.population", "glassbox.doctor"),
)
# Frameworks that the mathematics does without, and the one package that torch would slow down.
BANNED = {
    "glassbox.mechanics": ("numpy", "sklearn", "pandas"),
    "glassbox.replay": ("numpy", "sklearn", "pandas"),
    "glassbox.compare": ("torch",),
}

# Where every public function and class shows an example, which pytest runs; commands and protocols need none.
EXAMPLES = tuple(
    f"glassbox.{name}"
    for name in ("data", "model", "init", "tracking", "sweep", "mechanics", "replay", "errors", "drawing")
)

LINES = {"src": 400, "scripts": 60}
FUNCTION_LINES = 60
DRAWERS = re.compile(r"_?(utils?|utilit(y|ies)|helpers?|common|base|misc)")
# Addresses of package indexes; spelled in halves, or this file would be a hit.
HALVES = (
    ("pypi", ".org"),
    ("--index", "-url"),
    ("--extra", "-index"),
    ("--find", "-links"),
    ("download.", "pytorch"),
)
ADDRESSES = tuple("".join(halves) for halves in HALVES)


def violations(root: Path) -> list[str]:
    """Return every violation in a tree, one line each."""
    modules = {name(path, root): path for path in sources(root)}
    trees = {module: ast.parse(path.read_text("utf-8")) for module, path in modules.items()}
    imports = {module: sorted(set(imported(tree, set(modules)))) for module, tree in trees.items()}
    return [
        *(line for module in modules for line in layer_violations(module, imports[module])),
        *cycles(imports),
        *(line for module, path in modules.items() for line in size_violations(path, trees[module], root)),
        *(line for module, path in modules.items() for line in name_violations(path, trees[module], root)),
        *(line for module, path in modules.items() for line in example_violations(path, trees[module], root)),
        *address_violations(root),
    ]


def sources(root: Path) -> list[Path]:
    """Return the Python files of src/ and scripts/."""
    return sorted(path for folder in LINES for path in (root / folder).rglob("*.py"))


def name(path: Path, root: Path) -> str:
    """Return a file's module name, as in glassbox.data.moons and scripts.train; a package is its folder."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts).removeprefix("src.").removesuffix(".__init__")


def imported(tree: ast.Module, known: set[str]) -> Iterator[str]:
    """Yield what a module imports, also inside functions: our own modules in full, others as written."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                origin = "." * level + (module or "")
                for alias in aliases:
                    full = f"{origin}.{alias.name}"
                    yield full if full in known else origin
            case ast.Call(func=called, args=[ast.Constant(value=str(target)), *_]):
                if ast.unparse(called) in ("importlib.import_module", "import_module", "__import__"):
                    yield target


def within(module: str, places: tuple[str, ...]) -> str:
    """Return the longest of some places that a module lies in, or an empty string."""
    return max((p for p in places if f"{module}.".startswith(f"{p}.")), key=len, default="")


def layer_violations(module: str, targets: list[str]) -> Iterator[str]:
    """Yield a line for each import that points up, sideways, or at a framework that belongs to others."""
    entries = tuple(LEVEL)
    here = within(module, entries)
    if here == "glassbox" != module:
        yield f"{module}: has no layer; give it one in LAYERS"
    for target in targets:
        there, top = within(target, entries), target.partition(".")[0]
        if target.startswith("."):
            yield f"{module}: imports {target} relatively"
        elif there and there != here and LEVEL[there] <= LEVEL[here]:
            yield f"{module}: imports {target}, which is not below it"
        elif top in IMPORTERS and not within(module, IMPORTERS[top]):
            yield f"{module}: imports {top}, which only {', '.join(IMPORTERS[top])} may"
        elif top in BANNED.get(here, ()):
            yield f"{module}: imports {top}, which {here} does without"


def cycles(imports: dict[str, list[str]]) -> list[str]:
    """Return a line for the first import cycle, if there is one."""
    try:
        TopologicalSorter({m: [t for t in ts if t in imports and t != m] for m, ts in imports.items()}).prepare()
    except CycleError as error:
        return ["import cycle: " + " <- ".join(error.args[1])]
    return []


def size_violations(path: Path, tree: ast.Module, root: Path) -> Iterator[str]:
    """Yield a line for a file that is too long and for each function that is, its docstring not counted."""
    where = path.relative_to(root)
    lines, limit = len(path.read_text("utf-8").splitlines()), LINES[where.parts[0]]
    if lines > limit:
        yield f"{where}: {lines} lines, more than {limit}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{where}:{node.lineno}: {node.name} has {lines} lines, more than {FUNCTION_LINES}"


def name_violations(path: Path, tree: ast.Module, root: Path) -> Iterator[str]:
    """Yield a line for a name that says nothing, a folder without an __init__, a file without a docstring."""
    where = path.relative_to(root)
    yield from (f"{where}: named {part}" for part in where.with_suffix("").parts if DRAWERS.fullmatch(part))
    plugins = root / "src" / "hydra_plugins"
    if path.parent == plugins and path.name == "__init__.py":
        yield f"{where}: hides the plugins of every other package"
    elif root / "src" in path.parents and path.parent != plugins and not (path.parent / "__init__.py").exists():
        yield f"{where}: its folder has no __init__.py"
    if not ast.get_docstring(tree):
        yield f"{where}: has no docstring"


def example_violations(path: Path, tree: ast.Module, root: Path) -> Iterator[str]:
    """Yield a line for each public function or class without an example, where all have one."""
    module = name(path, root)
    if not within(module, EXAMPLES) or path.name == "__main__.py":
        return
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
            protocol = isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
            if not protocol and ">>>" not in (ast.get_docstring(node) or ""):
                yield f"{path.relative_to(root)}:{node.lineno}: {node.name} has no example"


def address_violations(root: Path) -> Iterator[str]:
    """Yield a line for each text file that names the address of a package index."""
    for path in tracked(root):
        text = path.read_text("utf-8", errors="ignore").lower()
        yield from (f"{path.relative_to(root)}: names {word}" for word in ADDRESSES if word in text)


def tracked(root: Path) -> list[Path]:
    """Return the files that git tracks or would track; all files where the tree is no repository."""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        paths = [root / line for line in listed if line]
    else:
        paths = [p for p in root.rglob("*") if not {".venv", "outputs"} & set(p.relative_to(root).parts)]
    return sorted(path for path in paths if path.is_file())


def test_project_keeps_its_shape() -> None:
    assert sources(ROOT)
    found = violations(ROOT)
    assert not found, "\n".join(found)


SOUND = {
    "scripts/train.py": "import hydra\nfrom glassbox.config import build",
    "src/hydra_plugins/grid/__init__.py": "",
    "src/hydra_plugins/grid/grid.py": "import hydra\nfrom glassbox.sweep import plan",
    "src/glassbox/__init__.py": "",
    "src/glassbox/errors.py": "",
    "src/glassbox/drawing.py": "import matplotlib.figure",
    "src/glassbox/config/__init__.py": "",
    "src/glassbox/config/build.py": "import omegaconf\nfrom glassbox.training import run",
    "src/glassbox/training/__init__.py": "",
    "src/glassbox/training/run.py": "import lightning.pytorch\nfrom glassbox.data.moons import moons",
    "src/glassbox/sweep/__init__.py": "",
    "src/glassbox/sweep/plan.py": "def _f():\n    import optuna",
    "src/glassbox/doctor/__init__.py": "",
    "src/glassbox/doctor/checks.py": "import torch",
    "src/glassbox/doctor/callback.py": "import lightning\nfrom glassbox.doctor.checks import check",
    "src/glassbox/tracking/__init__.py": "",
    "src/glassbox/tracking/run.py": "import wandb\nfrom glassbox import errors",
    "src/glassbox/data/__init__.py": "from glassbox.data.moons import moons",
    "src/glassbox/data/moons.py": "from glassbox.errors import BadInput",
    "src/glassbox/mechanics/__init__.py": "",
    "src/glassbox/mechanics/adam.py": "import torch",
}
LONG_FUNCTION = "def f():\n" + "    x = 1\n" * FUNCTION_LINES

PLANTED = [
    (
        "src/glassbox/data/xor.py",
        "from glassbox.training.run import fit",
        "imports glassbox.training.run, which is not",
    ),
    (
        "src/glassbox/data/xor.py",
        "from glassbox.training import run",
        "imports glassbox.training.run, which is not",
    ),
    (
        "src/glassbox/data/xor.py",
        "import glassbox.tracking.run",
        "imports glassbox.tracking.run, which is not",
    ),
    (
        "src/glassbox/data/xor.py",
        "def f():\n    from glassbox import config",
        "imports glassbox.config, which is not",
    ),
    (
        "src/glassbox/sweep/grid.py",
        "from glassbox.training.run import fit",
        "imports glassbox.training.run, which is",
    ),
    ("src/glassbox/errors.py", "import glassbox.mechanics", "imports glassbox.mechanics, which is not"),
    ("src/glassbox/errors.py", "import glassbox.drawing", "imports glassbox.drawing, which is not"),
    (
        "src/glassbox/doctor/checks.py",
        "import glassbox.doctor.callback",
        "imports glassbox.doctor.callback, which is",
    ),
    ("src/glassbox/data/xor.py", "from .moons import moons", "imports .moons relatively"),
    ("src/glassbox/extra.py", "", "glassbox.extra: has no layer"),
    ("src/glassbox/extra/__init__.py", "", "glassbox.extra: has no layer"),
    (
        "src/glassbox/config/x.py",
        "def f():\n    import wandb",
        "imports wandb, which only glassbox.tracking, glassbox.publish, glassbox.bench may",
    ),
    (
        "src/glassbox/config/x.py",
        "import importlib\nimportlib.import_module('wandb')",
        "imports wandb, which only",
    ),
    ("src/glassbox/data/xor.py", "import lightning", "imports lightning, which only"),
    (
        "src/glassbox/tracking/x.py",
        "from pytorch_lightning import Trainer",
        "imports pytorch_lightning, which only",
    ),
    ("src/glassbox/training/x.py", "from omegaconf import DictConfig", "imports omegaconf, which only"),
    ("src/glassbox/training/x.py", "from hydra.utils import instantiate", "imports hydra, which only"),
    ("src/glassbox/training/x.py", "from matplotlib import pyplot", "imports matplotlib, which only"),
    ("scripts/plot.py", "import plotly.express", "imports plotly, which only"),
    ("src/glassbox/training/x.py", "import optuna.trial", "imports optuna, which only"),
    ("src/glassbox/mechanics/sgd.py", "import numpy", "imports numpy, which glassbox.mechanics does without"),
    ("src/glassbox/data/moons.py", "from glassbox.data import circles", "import cycle: glassbox.data"),
    ("src/glassbox/data/xor.py", "x = 1\n" * 400, "xor.py: 402 lines, more than 400"),
    ("src/glassbox/data/xor.py", "x = 1\n" * 398, None),
    ("scripts/plot.py", "x = 1\n" * 60, "plot.py: 62 lines, more than 60"),
    ("src/glassbox/data/xor.py", LONG_FUNCTION, "xor.py:3: f has 61 lines, more than 60"),
    ("src/glassbox/data/xor.py", LONG_FUNCTION.replace("x = 1", '""">>> f()"""', 1), None),
    ("src/glassbox/data/xor.py", 'class A:\n    """Do it."""', "xor.py:3: A has no example"),
    ("src/glassbox/data/xor.py", 'def f():\n    """>>> f()"""\n\n\nclass B(Protocol):\n    x: int', None),
    ("src/glassbox/data/helpers.py", "", "helpers.py: named helpers"),
    ("src/glassbox/utils/__init__.py", "", "__init__.py: named utils"),
    ("src/glassbox/data/toy/ring.py", "", "ring.py: its folder has no __init__.py"),
    ("src/hydra_plugins/__init__.py", "", "hides the plugins"),
    ("conf/README.md", f"pip install {ADDRESSES[1]} somewhere", f"README.md: names {ADDRESSES[1]}"),
]


@pytest.fixture
def sound(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Return a function that writes the sound tree and some more files, each with a docstring."""

    def write(more: dict[str, str]) -> Path:
        for where, text in (SOUND | more).items():
            path = tmp_path / where
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'"""A file."""\n\n{text}')
        return tmp_path

    return write


def test_sound_tree_has_no_violation(sound: Callable[[dict[str, str]], Path]) -> None:
    assert violations(sound({})) == []


@pytest.mark.parametrize(("where", "text", "expected"), PLANTED)
def test_planted_violation_is_found(
    where: str, text: str, expected: str | None, sound: Callable[[dict[str, str]], Path]
) -> None:
    found = violations(sound({where: text}))
    assert found == [] if expected is None else any(expected in line for line in found), found


def test_missing_docstring_is_found(sound: Callable[[dict[str, str]], Path]) -> None:
    root = sound({})
    (root / "src/glassbox/data/__init__.py").write_text("from glassbox.data.moons import moons\n")
    assert violations(root) == ["src/glassbox/data/__init__.py: has no docstring"]


def test_files_that_git_ignores_are_not_read(sound: Callable[[dict[str, str]], Path]) -> None:
    root = sound({"cache/page.html": ADDRESSES[0], "page.html": ADDRESSES[0]})
    (root / ".gitignore").write_text("/cache/\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    assert violations(root) == [f"page.html: names {ADDRESSES[0]}"]
