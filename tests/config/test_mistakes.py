"""Every mistake that a user can make on the command line: its words, its exit code, and that it leaves nothing."""

import sys
from pathlib import Path

import pytest

from glassbox.config import entry
from glassbox.errors import BadInput

SEED = "must be a whole number from 0 to 4294967295"
LR = "must be a finite number > 0"
COUNT = "must be a whole number ≥ 1"
STUDY = (
    "must be a folder name: letters, digits, '.', '_' and '-', at most 100 of them, beginning with a letter or digit, "
    "and not 'wandb'"
)
SPLIT = "must be three shares > 0 that add up to 1: train, validation, test"
READ = "write key=value, and quote a value that holds spaces, commas or brackets: 'key=\"a, b\"'"
TRUSTED = "trusted are torch, lightning, torchmetrics, glassbox. If it is yours, add it to trusted_packages under "
TRUSTED += "[tool.glassbox] in pyproject.toml"
HYDRA_CODE = "only hydra._internal.core_plugins.*, hydra.experimental.callbacks.*, hydra_plugins.* may be named here"
LOGGING_CODE = "only the classes of logging, colorlog and rich.logging may be named here"
DDP = "trainer=ddp trainer.accelerator=cpu trainer.devices=2"

# Command line → message.
KEYS = {
    "lrr=1": "lrr=1: unknown key 'lrr', did you mean 'lr'?",
    "zzzzz=1": "zzzzz=1: unknown key 'zzzzz'",
    "dta=moons": "dta=moons: unknown key 'dta', did you mean 'data'?",
    "optimzer=adam": "optimzer=adam: unknown key 'optimzer', did you mean 'optimizer'?",
    "model.hiden=3": "model.hiden=3: unknown key 'model.hiden', did you mean 'model.hidden'?",
    "trainer.max_step=3": "trainer.max_step=3: unknown key 'trainer.max_step', did you mean 'trainer.max_epochs'?",
    "optimizer=momentum optimizer.momentm=0.5": (
        "optimizer.momentm=0.5: unknown key 'optimizer.momentm', did you mean 'optimizer.momentum'?"
    ),
    "optimizer.momentm=0.5": "optimizer.momentm=0.5: unknown key 'optimizer.momentm'",
    "+model.hiden=3": "model.hiden: glassbox.model.TinyNet has no argument 'hiden', did you mean 'hidden'?",
    "logger.foo=1": "logger.foo=1: unknown key 'logger.foo'",
    "~foo": "~foo: unknown key 'foo'",
    "optimizer=adma": (
        "optimizer=adma: no such option, did you mean 'adam'? "
        "(optimizer has adam, adamw, momentum, nesterov, rmsprop, sgd)"
    ),
    "optimizer=xyzzy": (
        "optimizer=xyzzy: no such option (optimizer has adam, adamw, momentum, nesterov, rmsprop, sgd)"
    ),
    "data=moon": (
        "data=moon: no such option, did you mean 'moons'? "
        "(data has breast_cancer, circles, csv, diabetes, digits, moons, spiral, xor)"
    ),
    "model=tinynett": "model=tinynett: no such option, did you mean 'tinynet'? (model has mlp, tinynet)",
    "logger=wandbb": "logger=wandbb: no such option, did you mean 'wandb'? (logger has csv, none, tensorboard, wandb)",
    "debug=fst": "debug=fst: no such option, did you mean 'fast'? (debug has anomaly, fast, overfit, profile)",
}

VALUES = {
    "lr=abc": f"lr=abc: {LR}",
    "lr=-1": f"lr=-1: {LR}",
    "lr=nan": f"lr=nan: {LR}",
    "lr=inf": f"lr=inf: {LR}",
    "lr=-inf": f"lr=-inf: {LR}",
    "lr=0": f"lr=0: {LR}",
    "lr=1e-400": f"lr=0.0: {LR}",
    "lr=": f"lr=: {LR}",
    "lr=null": f"lr=null: {LR}",
    "lr=true": f"lr=true: {LR}",
    "lr=[1]": f"lr=[1]: {LR}",
    "++lr=-1": f"lr=-1: {LR}",
    "lr=0.1 lr=abc": f"lr=abc: {LR}",
    "seed=1.5": f"seed=1.5: {SEED}",
    "seed=-1": f"seed=-1: {SEED}",
    "seed=4294967296": f"seed=4294967296: {SEED}",
    "seed=true": f"seed=true: {SEED}",
    "seed=null": f"seed=null: {SEED}",
    "data.seed=-1": f"data.seed=-1: {SEED}",
    "batch_size=0": f"batch_size=0: {COUNT}",
    "batch_size=2.5": f"batch_size=2.5: {COUNT}",
    "batch_size=342": "batch_size=342: larger than the 341 training rows; use 341 or less",
    "max_epochs=0": f"max_epochs=0: {COUNT}",
    "max_epochs=-1": f"max_epochs=-1: {COUNT}",
    "max_epochs=2.5": f"max_epochs=2.5: {COUNT}",
    "max_epochs=abc": f"max_epochs=abc: {COUNT}",
    "study=a/b": f"study=a/b: {STUDY}",
    "study=..": f"study=..: {STUDY}",
    "study=../a": f"study=../a: {STUDY}",
    "study=/a": f"study=/a: {STUDY}",
    f"study={'a' * 300}": f"study={'a' * 300}: {STUDY}",
    "study=wandb": f"study=wandb: {STUDY}",
    "study=.hidden": f"study=.hidden: {STUDY}",
    "study=": f"study=: {STUDY}",
    "study=null": f"study=null: {STUDY}",
    "study=1": f"study=1: {STUDY}",
    "tags=a": "tags=a: must be a list of words",
    "notes=3": "notes=3: must be text or null",
    "pictures=3": "pictures=3: must be true, false or null",
    "report=1": "report=1: must be true or false",
    "mode=mn": "mode=mn: must be min or max",
    "monitor=3": "monitor=3: must be a metric key such as val/loss",
    "monitor=val/accuracy": "monitor=val/accuracy is better when it is larger: add mode=max",
    "monitor=train/loss mode=max": "monitor=train/loss is better when it is smaller: add mode=min",
    "data.split=[0.5,0.5]": f"data.split=[0.5, 0.5]: {SPLIT}",
    "data.split=[1,1,1]": f"data.split=[1, 1, 1]: {SPLIT}",
    "data.split=[1,0,0]": f"data.split=[1, 0, 0]: {SPLIT}",
    "trainer.max_epochs=3": "trainer.max_epochs=3 differs from max_epochs=60: set max_epochs instead",
    "optimizer.lr=3": "optimizer.lr=3 differs from lr=0.01: set lr instead",
}

ARGUMENTS = {
    "data.features=[worst_perimeter]": ("data.features: no feature 'worst_perimeter', did you mean 'worst perimeter'?"),
    "data.features=[]": "data.features=[]: name a feature, or all",
    "data=moons data.samples=0": "data.samples=0: must be a whole number ≥ 10",
    "data=moons data.noise=-1": "data.noise=-1: must be a finite number ≥ 0",
    "data=diabetes loss=bce": ("The target 'progression' is a number, but loss=bce needs classes; use loss=mse"),
    "data=digits loss=bce": "The target 'digit' has 10 classes, but loss=bce needs 2; use loss=cross_entropy",
    "loss=mse": ("The target 'diagnosis' has classes (malignant, benign, …), but loss=mse needs numbers; use loss=bce"),
    "model.hidden=0": "model.hidden=0: must be a whole number ≥ 1",
    "model=mlp model.activation=rleu": (
        "model.activation=rleu: must be one of relu, leaky_relu, elu, gelu, silu, tanh, sigmoid, softplus"
    ),
    "model=mlp model.batch_norm=true batch_size=34": (
        "batch_size=34: 341 training rows leave a batch of one, which batch_norm cannot normalise; use batch_size=35"
    ),
    "model=mlp model.batch_norm=true batch_size=340": (
        "batch_size=340: 341 training rows leave a batch of one, which batch_norm cannot normalise; use batch_size=341"
    ),
    "model=mlp model.dropout=2": "model.dropout=2: must be a probability p with 0 ≤ p < 1",
    "optimizer.betas=[2,3]": "optimizer.betas=[2, 3]: must be two numbers β with 0 ≤ β < 1, such as [0.9,0.999]",
    "optimizer.weight_decay=-1": "optimizer.weight_decay=-1: must be a finite number ≥ 0",
    "trainer.limit_val_batches=0": (
        "trainer.limit_val_batches=0 leaves no val/loss for callbacks.checkpoint: "
        "add monitor=train/loss or callbacks=none"
    ),
    "logger.mode=onlin": "logger.mode=onlin: must be offline, online, disabled",
    "logger.writer=fast": "logger.writer=fast: must be client or direct",
    "logger.mode=online": "logger.mode=online needs a key: run `wandb login`, or use logger.mode=offline",
    "model._target_=os.system": f"model._target_=os.system: package 'os' is not trusted; {TRUSTED}",
    "+callbacks.x._target_=subprocess.Popen": (
        f"callbacks.x._target_=subprocess.Popen: package 'subprocess' is not trusted; {TRUSTED}"
    ),
    "model._target_=torch.optim.Adam": "model._target_=torch.optim.Adam: must be a subclass of torch.nn.Module",
    "optimizer._target_=torch.optim.Adm": ("optimizer._target_=torch.optim.Adm: no such name, did you mean 'Adam'?"),
}

SYNTAX = {
    "+foo=1": "foo: unknown key 'foo'",
    "++foo=1": "foo: unknown key 'foo'",
    "=3": f"Cannot read the override '=3': {READ}",
    "lr": f"Cannot read the override 'lr': {READ}",
    "notes=(a)": f"Cannot read the override 'notes=(a)': {READ}",
    "lr=1,2": "lr=1,2: several values need a multirun, add -m; one value with a comma needs quotes",
    "lr=1,5": "lr=1,5: several values need a multirun, add -m; one value with a comma needs quotes",
    "optimizer=sgd,adam": (
        "optimizer=sgd,adam: several values need a multirun, add -m; one value with a comma needs quotes"
    ),
    "seed=range(1,3)": "seed=range(1,3): several values need a multirun, add -m; one value with a comma needs quotes",
    "-m study=a/b lr=1,2": f"study=a/b: {STUDY}",
    "lr=[1] -m seed=1,2": f"lr=[1]: {LR}",
}

MONITORED = "(there are val/loss, val/accuracy, val/auroc, train/loss, train/accuracy, train/auroc)"
COUNT = "must be a whole number ≥ 1"
LENGTH = "must be left out; the length of a run is max_epochs"

# What used to be found in the middle of a run, or not at all.
LATE = {
    "-m lr=0.1,-1": f"lr=-1: {LR}",
    "-m optimizer=adam,adma": "optimizer=adma: no such option, did you mean 'adam'? "
    "(optimizer has adam, adamw, momentum, nesterov, rmsprop, sgd)",
    "-m study=a,b": "study: a multirun has one; give it one value",
    "-m study=b/c": f"study=b/c: {STUDY}",
    "-m study=..": f"study=..: {STUDY}",
    f"-m study={'x' * 300}": f"study={'x' * 300}: {STUDY}",
    "-m seed=range(0,0)": "seed=range(0,0): an empty sweep: there is no value in it",
    "-m launcher=joblib,ray": "launcher: a multirun has one; give it one value",
    "-m hydra/sweeper=basic": "hydra/sweeper=basic: it forgets what has run; leave it out",
    "-m lr=interval(0,1)": "lr=interval(0,1): this sweeper needs values; list them, as in lr=0.1,0.2",
    "-m optimizer=glob(*)": "optimizer=glob(*): name the options, as in optimizer=sgd,adam",
    "trainer=cpu trainer.devices=7": "trainer.devices=7: several devices need trainer=ddp",
    f"{DDP} trainer.strategy=ddp": "trainer.strategy=ddp: it runs the command again on each device; use ddp_spawn",
    f"{DDP} +trainer.num_nodes=2": "trainer.num_nodes=2: a run is on one machine; leave it out",
    f"{DDP} batch_size=1": "trainer.devices=2: more than the rows of a batch, batch_size=1; use 1 or fewer",
    f"{DDP} model=mlp model.batch_norm=true": (
        "trainer.devices=2: on CPUs batch_norm would see each process's rows alone; use trainer.devices=1"
    ),
    "~optimizer": "~optimizer: a run needs 'optimizer'; choose another value or option",
    "~lr": "~lr: a run needs 'lr'; choose another value or option",
    "~loss.task": "loss.task is missing: leave out what removes it, such as ~loss.task",
    "+optimizer=adam": "+optimizer=adam: 'optimizer' is chosen already; write optimizer=OPTION",
    "-m rerun=a,b": "rerun=a: it repeats one run; leave -m out",
    "rerun=1": "rerun=1: must be a run folder, outputs/<study>/<run>",
    "monitor=val/los": f"monitor=val/los: no such metric, did you mean 'val/loss'? {MONITORED}",
    "scheduler=plateau scheduler.monitor=x": f"scheduler.monitor=x: no such metric {MONITORED}",
    "callbacks.checkpoint.monitor=x": f"callbacks.checkpoint.monitor=x: no such metric {MONITORED}",
    "trainer.accumulate_grad_batches=0": f"trainer.accumulate_grad_batches=0: {COUNT}",
    "trainer.check_val_every_n_epoch=1.5": f"trainer.check_val_every_n_epoch=1.5: {COUNT}",
    "trainer.gradient_clip_val=-1": "trainer.gradient_clip_val=-1: must be a finite number > 0, or null",
    "+trainer.max_steps=0": f"trainer.max_steps=0: {LENGTH}",
    "+trainer.fast_dev_run=true": "trainer.fast_dev_run=true: must be left out; use debug=fast, which keeps its record",
    "scheduler=step scheduler.step_size=0": f"scheduler.step_size=0: {COUNT}",
    "scheduler=step scheduler.interval=x": "scheduler.interval=x: must be epoch or step",
    "scheduler=one_cycle scheduler.total_steps=3": "scheduler.total_steps=3: must be auto: "
    "the number of optimizer steps of the run",
    "+model.out_features=5": "model.out_features=5: the data has 1; leave it out",
    "+callbacks.checkpoint.dirpath=/tmp/x": (
        "callbacks.checkpoint.dirpath: leave it out; a run writes into its own folder"
    ),
    "-m hydra.sweep.subdir=../x": "hydra.sweep.subdir=../x: a run lives in outputs/<study>/<run>; choose study=NAME",
    "hydra.job.chdir=true": "hydra.job.chdir=true: not used here; a run writes into its own folder anyway",
    "hydra.mode=MULTIRUN": "hydra.mode=MULTIRUN: add -m for several runs, leave it out for one",
    "data.features=3": "data.features: no feature '3'; it has mean radius, mean texture, mean perimeter, mean area, "
    "mean smoothness, …",
    "optimizer.eps=abc": "optimizer.eps=abc: must be a finite number ≥ 0",
    "--cfg job optimzer=adam": "optimzer=adam: unknown key 'optimzer', did you mean 'optimizer'?",
    "--config-dir=/nowhere": "--config-dir=/nowhere: no such folder",
    "data.path=x": "data.path=x: unknown key 'data.path'; it belongs to another data set, choose data=NAME",
}

SEARCH = "-m hydra/sweeper=search"
EMPTY = "hydra/sweeper=search: nothing to search; give a key an interval or values, as in "
EMPTY += "'lr=tag(log,interval(1e-4,1e-1))' or optimizer=sgd,adam"
# More of these are told by functions that tests/config/test_search.py calls.
SEARCHES = {
    f"{SEARCH} seed=3": EMPTY,
    f"{SEARCH} lr=interval(0.1,0.01)": "lr=interval(0.1,0.01): must be two finite numbers, the smaller one first",
    f"{SEARCH} lr=interval(-1,1) seed=range(-2,9)": f"lr=-1.0: {LR}\nseed=-2: {SEED}",
    f"{SEARCH} optimizer=adam,adma lr=interval(0.1,1)": "optimizer=adma: no such option, did you mean 'adam'? "
    "(optimizer has adam, adamw, momentum, nesterov, rmsprop, sgd)",
    f"{SEARCH} seed=0,1 hydra.sweeper.sampler=tpee": (
        "hydra.sweeper.sampler=tpee: no such sampler, did you mean 'tpe'? (tpe, random, qmc)"
    ),
    "sweep=tpe hydra.sweeper.n_trials=0": "hydra.sweeper.n_trials=0: must be a whole number ≥ 1",
    "sweep=lr_range lr=interval(0.1,1)": "lr=interval(0.1,1): this sweeper needs values; list them, as in lr=0.1,0.2",
}

# Hydra would call what its own tree names, and put the run where it says.
HYDRA = {
    "hydra.run.dir=/tmp/x": "hydra.run.dir=/tmp/x: a run lives in outputs/<study>/<run>; choose study=NAME",
    "hydra.sweep.dir=x": "hydra.sweep.dir=x: a run lives in outputs/<study>/<run>; choose study=NAME",
    "+hydra.callbacks.x._target_=os.system": f"hydra.callbacks.x._target_=os.system: {HYDRA_CODE}",
    "hydra.launcher._target_=os.system": f"hydra.launcher._target_=os.system: {HYDRA_CODE}",
    "hydra.sweeper._target_=os.system": f"hydra.sweeper._target_=os.system: {HYDRA_CODE}",
    "hydra.job_logging.handlers.console.class=os.system": (
        f"hydra.job_logging.handlers.console.class=os.system: {LOGGING_CODE}"
    ),
    "+hydra.job_logging.formatters.line.class=os.system": (
        f"hydra.job_logging.formatters.line.class=os.system: {LOGGING_CODE}"
    ),
    "hydra.job_logging.handlers.console.stream=ext://os.environ": (
        "hydra.job_logging.handlers.console.stream=ext://os.environ: "
        "only ext://sys.stdout and ext://sys.stderr may be named here"
    ),
    "hydra.output_subdir=x": (
        "hydra.output_subdir=x: leave it out; a run keeps its config in .hydra/, with secrets masked"
    ),
    "hydra/job_logging=foo": "hydra/job_logging=foo: no such option (hydra/job_logging has run)",
}

ROWS = "".join(f"{i % 7},{i % 5},{'yes' if i % 2 else 'no'}\n" for i in range(60))
NUMBERS = "".join(f"{i % 7},{i % 5},{i * 0.37}\n" for i in range(60))
TABLE = "a,b,label\n" + ROWS

# Content of my.csv, more overrides → message; the first row below the 60 good ones is row 62 of the file.
CSV = {
    "missing": (None, "", "my.csv: no such file (data.path)"),
    "empty": ("", "", "my.csv: the file is empty"),
    "blank lines": ("\n\n", "", "my.csv: the file is empty"),
    "header only": ("a,b,label\n", "", "my.csv: a header and no rows"),
    "semicolons": (
        TABLE.replace(",", ";"),
        "",
        "my.csv: one column only, 'a;b;label'; separate columns by commas",
    ),
    "one column twice": ("a,a,label\n" + ROWS, "", "my.csv: two columns are called 'a'"),
    "ragged": (TABLE + "1,2,3,4\n", "", "my.csv: rows of unequal length: Expected 3 fields in line 62, saw 4"),
    "nan": (TABLE + "nan,1,yes\n", "", "row 62, column 'a': 'nan' is not a finite number"),
    "inf": (TABLE + "1,inf,yes\n", "", "row 62, column 'b': 'inf' is not a finite number"),
    "text": (TABLE + "1,oops,yes\n", "", "row 62, column 'b': 'oops' is not a finite number"),
    "huge": (TABLE + "1e39,1,yes\n", "", "row 62, column 'a': 1e39 is too large for float32; scale the column"),
    "hole": (TABLE + "1,,yes\n", "", "row 62, column 'b': the cell is empty; fill it or leave the row out"),
    "no answer": (
        TABLE + "1,2,\n",
        "",
        "row 62, column 'label' (target): the cell is empty; fill it or leave the row out",
    ),
    "one answer": (
        "a,b,label\n" + "1,2,yes\n" * 9,
        "",
        "my.csv, column 'label' (target): one value only, 'yes'; nothing to learn",
    ),
    "three classes": (
        TABLE + "1,2,maybe\n" * 6,
        "",
        "The target 'label' has 3 classes, but loss=bce needs 2; use loss=cross_entropy",
    ),
    "numbers": (
        "a,b,label\n" + NUMBERS,
        "",
        "The target 'label' is a number, but loss=bce needs classes; use loss=mse",
    ),
    "classes": (
        TABLE,
        "loss=mse",
        "The target 'label' has classes (no, yes, …), but loss=mse needs numbers; use loss=bce",
    ),
    "target misspelt": (TABLE, "data.target=labl", "my.csv: no column 'labl' (data.target), did you mean 'label'?"),
    "no target": (TABLE, "data.target=zzz", "my.csv: no column 'zzz' (data.target); it has a, b, label"),
    "no feature": (TABLE, "data.features=[a,c]", "my.csv: no column 'c'; it has a, b, label"),
    "the target as a feature": (
        TABLE,
        "data.features=[a,label]",
        "data.features: 'label' is the target; leave it out",
    ),
    "few rows": (TABLE, "batch_size=64", "batch_size=64: larger than the 36 training rows; use 36 or less"),
}


class Slipped(Exception):
    """A mistake was not found before Hydra took over."""


@pytest.fixture
def told(tmp_path, outputs, monkeypatch):
    """Give a function that returns the message about a command line, after all that holds for every mistake."""

    def slip(**_):
        raise Slipped

    def tell(*argv: str) -> str:
        monkeypatch.setattr(entry.hydra, "main", slip)
        monkeypatch.setattr(sys, "argv", ["train.py"])
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(BadInput) as caught:
            entry.Train(list(argv)).main()
        message = str(caught.value)
        assert caught.value.exit_code == 2
        assert len(message.splitlines()) <= 2
        left = [path for path in sorted(tmp_path.rglob("*")) if path not in before]
        assert [path for path in left if ".cache" not in path.relative_to(tmp_path).parts] == []
        return message

    return tell


def rows(*tables: dict) -> list:
    """Return the rows of tables; the first six of each run by default, the others are slow."""
    return [
        pytest.param(row, marks=[pytest.mark.slow] if place >= 6 else [])
        for table in tables
        for place, row in enumerate(table)
    ]


@pytest.mark.parametrize("line", rows(KEYS, VALUES, ARGUMENTS, LATE, SEARCHES, HYDRA, SYNTAX))
def test_words(told, line):
    messages = KEYS | VALUES | ARGUMENTS | LATE | SEARCHES | HYDRA | SYNTAX
    assert told(*line.split()) == messages[line]


@pytest.mark.parametrize("case", rows(CSV))
def test_table(told, tmp_path, case):
    content, more, message = CSV[case]
    if content is not None:
        (tmp_path / "my.csv").write_text(content)
    line = ["data=csv", "data.path=my.csv", "data.target=label", *more.split()]
    if message.startswith("row"):
        message = f"my.csv, {message}"
    if message.endswith("is not a finite number"):
        message += "; correct it or leave the row out"
    assert told(*line) == message


def test_the_table_and_its_target_must_be_named(told):
    assert told("data=csv") == "data.path is missing: add data.path=…"
    assert told("data=csv", "data.path=my.csv") == "data.target is missing: add data.target=…"


def test_text_in_another_encoding(told, tmp_path):
    (tmp_path / "my.csv").write_bytes(TABLE.encode() + b"1,2,\xe9\n")
    message = told("data=csv", "data.path=my.csv", "data.target=label")
    assert message == "my.csv: not UTF-8 text; save it as UTF-8"


def test_a_search_without_optuna(told, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    line = [*SEARCH.split(), "lr=interval(0.1,1)"]
    assert told(*line) == "hydra/sweeper=search needs optuna: pip install 'glassbox[search]'"


@pytest.mark.parametrize("trainer", ["gpu", "mps"])
def test_a_device_that_is_not_there(told, trainer):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available() if trainer == "gpu" else torch.backends.mps.is_available():
        pytest.skip(f"this machine has {trainer}")
    name = {"gpu": "cuda", "mps": "mps"}[trainer]
    words = "this machine has none that torch can use; use trainer=auto"
    assert told(f"trainer={trainer}") == f"trainer.accelerator={name}: {words}"


@pytest.mark.parametrize("place", ["/proc/nowhere", "file/outputs"])
def test_outputs_that_cannot_be_written(told, tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GLASSBOX_OUTPUTS", place)
    folder = tmp_path / place
    why = "No such file or directory" if place.startswith("/") else "Not a directory"
    assert told("lr=0.1") == (
        f"Cannot write to {folder}: {why}; make it writable or set GLASSBOX_OUTPUTS to another folder"
    )


@pytest.mark.parametrize("place", ["nowhere", ".", "outputs"])
def test_a_rerun_of_what_is_no_run(told, place):
    assert told(f"rerun={place}") == (f"{place} is no run folder: it has no run.json; name outputs/<study>/<run>")


@pytest.mark.parametrize(
    "line",
    [
        "seed=0",
        "seed=4294967295",
        "lr=1e-300",
        "lr=1e300",
        "lr=3",
        "batch_size=341",
        f"study={'a' * 100}",
        "study=a.b_c-1",
        "monitor=val/accuracy mode=max",
        "tags=[a,b] notes=hello",
        "data.features=all",
        "data=diabetes",
        "data=digits",
        "lr=0.1 -m seed=0,1",
        f"{SEARCH} lr=tag(log,interval(1e-4,1e-1)) hydra.sweeper.sampler=qmc hydra.sweeper.direction=minimize",
        "sweep=tpe lr=0.1",
    ],
)
def test_no_mistake(outputs: Path, monkeypatch, line):
    def slip(**_):
        raise Slipped

    monkeypatch.setattr(entry.hydra, "main", slip)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(Slipped):
        entry.Train(line.split()).main()
