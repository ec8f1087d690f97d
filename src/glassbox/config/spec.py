"""The jobs of a multirun, composed fast: Hydra's own way once per choice of groups, then only values are put in.

Hydra composes each job from its files, which takes longer than a small job. Jobs that choose the same options differ
in plain values only, so those are put into a copy of the first one. Whatever is not a plain value (a group, a key
that is added or deleted, one of `hydra.`) makes a template of its own.
"""

import copy
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, flag_override

from glassbox.config.cohort import Kind
from glassbox.config.link import followed, links_of, waits
from glassbox.config.plain import at, both, with_values
from glassbox.config.resolvers import SWEEP_DIR, SWEEP_SUBDIR, run_folder

NUMBER = re.compile(r"(?P<key>[A-Za-z_][\w.]*)=(?:(?P<int>-?(?:0|[1-9]\d*))|(?P<float>-?\d+\.\d+(?:e[+-]?\d+)?))")
FOLDER = "<folder of the run>"


@dataclass(frozen=True)
class Template:
    """A composed config as plain containers, with its `hydra` node: what jobs of the same options share.

    Attributes:
        config: The config; interpolations are not resolved.
        cache: What resolvers such as `now` gave in the whole multirun.
        links: Dotted key → dotted key, of each value `${key}`; None if the config has anything else to be resolved.
        key: Tells templates apart, in every process.
    """

    config: Mapping[str, Any]
    cache: Mapping[str, Any]
    links: Mapping[str, str] | None = None
    key: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True)
class Spec:
    """One job of a multirun: small, plain, and enough to run it in any process.

    Attributes:
        template: The config without this job's plain values.
        values: Dotted key → plain value.
        overrides: Its overrides as typed, without those of `hydra.`.
        number: Its number, `hydra.job.num`.
        folder: Its run folder.
        identity: The hash of what determines its numbers, where it is known.
        kind: With which jobs it can train together, where that is known.
    """

    template: Template
    values: Mapping[str, Any]
    overrides: Sequence[str]
    number: int
    folder: str = ""
    identity: str = ""
    kind: Kind | None = None

    def __repr__(self) -> str:
        return f"Spec({' '.join(self.overrides)!r}, number={self.number}, folder={self.folder!r})"


@dataclass(frozen=True)
class _Parsed:
    key: str
    value: Any
    plain: bool
    hydra: bool = False
    override: Override | None = None


class Composer:
    """Compose the jobs of one multirun.

    Args:
        loader: Hydra's config loader.
        master: The config of the multirun, without the jobs' own overrides.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self._loader = loader
        self._master = master
        self._cache = OmegaConf.get_cache(master)
        self._parser = OverridesParser.create(config_loader=loader)
        self._parsed: dict[str, _Parsed] = {}
        self._plain: set[str] = set()
        self._templates: dict[tuple[str, ...], Template] = {}

    def spec(self, overrides: Sequence[str], number: int) -> Spec:
        """Return one job, with a run folder of its own; nothing is written.

        Args:
            overrides: Its overrides, each of one value.
            number: Its number.

        Raises:
            hydra.errors.HydraException: It cannot be composed.
        """
        parsed = [self._parse(text) for text in overrides]
        values = {item.key: item.value for item in parsed if item.plain}
        shape = [item.override for item in parsed if item.override is not None and not item.plain]
        template = self._template(tuple(str(override.input_line) for override in shape))
        if not all(_fits(key, value, template.config, shape) for key, value in values.items()):
            template, values = self._template(tuple(overrides)), {}
        shown = [text for text, item in zip(overrides, parsed, strict=True) if not item.hydra]
        spec = Spec(template, values, shown, number)
        return replace(spec, folder=str(_folder(spec)))

    def _parse(self, text: str) -> "_Parsed":
        if text in self._parsed:
            return self._parsed[text]
        number = NUMBER.fullmatch(text)
        if number and number["key"] in self._plain:  # what follows would say the same, a hundred times slower
            value = int(number["int"]) if number["int"] else float(number["float"])
            return _Parsed(number["key"], value, plain=True)
        override = self._parser.parse_override(text)
        key = override.key_or_group
        hydra = override.is_hydra_override()
        plain = (
            override.type == OverrideType.CHANGE
            and override.package is None
            and not override.is_sweep_override()
            and not isinstance(override.value(), dict)
            and not hydra
            and not self._loader.get_group_options(key)
        )
        if plain:
            self._plain.add(key)
        self._parsed[text] = _Parsed(key, override.value(), plain=plain, hydra=hydra, override=override)
        return self._parsed[text]

    def _template(self, shape: tuple[str, ...]) -> Template:
        if shape not in self._templates:
            cfg = self._loader.load_sweep_config(self._master, list(shape))
            config = cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=False))
            links = links_of({key: value for key, value in config.items() if key != "hydra"})
            self._templates[shape] = Template(config, self._cache, links)
        return self._templates[shape]


class Live:
    """A template as Hydra's containers, in this process; one job after the other is put into it.

    Args:
        template: The template.

    Attributes:
        cfg: The whole config, with its `hydra` node.
        task: The same without it: what a task function gets.
    """

    def __init__(self, template: Template) -> None:
        self._template = template
        self._make()

    def _make(self) -> None:
        self.cfg = OmegaConf.create(copy.deepcopy(dict(self._template.config)))
        self.task = task_config(self.cfg)
        self._plain = {key: value for key, value in self._template.config.items() if key != "hydra"}
        self._hydra = self.cfg.hydra
        self._settings = self._hydra.job.config.override_dirname
        self._values: dict[str, Any] = {}
        self._shown: list[str] | None = None
        self._logging: Any = None

    def put(self, spec: Spec) -> None:
        """Put a job's own values in, in place of those of the job before."""
        OmegaConf.set_cache(self.cfg, copy.deepcopy(dict(self._template.cache)))
        before, new = self._values, dict(spec.values)
        if before.keys() != new.keys() or _nested(new):
            self._update({key: at(self._template.config, key) for key in before})
            self._update(new)
        else:
            self._update({key: value for key, value in new.items() if repr(value) != repr(before[key])})
        self._values = new
        overrides, job = self._hydra.overrides, self._hydra.job
        if self._shown is None or len(self._shown) != len(spec.overrides):
            overrides.task = list(spec.overrides)
        else:
            task = overrides.task
            for position, (shown, text) in enumerate(zip(self._shown, spec.overrides, strict=True)):
                if shown != text:
                    task[position] = text
        self._shown = list(spec.overrides)
        job.num = spec.number
        job.id = str(spec.number)
        job.override_dirname = _dirname(spec.overrides, self._settings)
        self._hydra.runtime.output_dir = spec.folder or "???"

    def check(self) -> None:
        """Look whether the job has changed its config, and forget what it has changed."""
        if OmegaConf.to_container(self.task, resolve=False) != with_values(self._plain, self._values):
            self._make()

    def _update(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            OmegaConf.update(self.cfg, key, value, merge=False)
            OmegaConf.update(self.task, key, value, merge=False)

    def logging(self, folder: str) -> dict[str, Any]:
        """Return `hydra.job_logging` as plain containers, for a run folder.

        Args:
            folder: The run folder.
        """
        if self._logging is None:
            self._hydra.runtime.output_dir = FOLDER
            self._logging = OmegaConf.to_container(self._hydra.job_logging, resolve=True)
            self._hydra.runtime.output_dir = folder
        return cast("dict[str, Any]", _replaced(self._logging, folder))


_LIVE: dict[str, Live] = {}


@contextmanager
def live(spec: Spec, *, read_only: bool = False) -> Iterator[Live]:
    """Give the config of a job as Hydra composes it; it changes with the next job.

    Args:
        spec: The job.
        read_only: Promises that nothing is changed in it; else that is looked for.
    """
    if spec.template.key not in _LIVE:
        _LIVE[spec.template.key] = Live(spec.template)
    found = _LIVE[spec.template.key]
    before = HydraConfig.instance().cfg
    try:
        found.put(spec)
        HydraConfig.instance().cfg = found.cfg  # type: ignore[assignment]
        yield found
    finally:
        HydraConfig.instance().cfg = before
        if not read_only:
            found.check()


def configs(spec: Spec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the config of a job without its `hydra` node, to compute with and to write down, as `plain.both` does.

    OmegaConf takes longer to resolve a config than all the rest of planning a job. Where every interpolation is another
    key's value, and the job's own values bring no other, they are put in here.

    Args:
        spec: The job.

    Raises:
        omegaconf.errors.OmegaConfBaseException: An interpolation cannot be resolved or a mandatory value is missing.
    """
    if spec.template.links is not None and not waits(spec.values):
        task = {key: value for key, value in spec.template.config.items() if key != "hydra"}
        values = followed(task, spec.template.links, spec.values)
        return values, values
    with live(spec, read_only=True) as found:
        return both(found.task)


def plain(spec: Spec) -> dict[str, Any]:
    """Return the whole config of a job as plain containers, with its `hydra` node and its interpolations.

    Args:
        spec: The job.
    """
    config = with_values(spec.template.config, spec.values)
    hydra = dict(config["hydra"])
    hydra["overrides"] = {**hydra["overrides"], "task": list(spec.overrides)}
    dirname = _dirname(spec.overrides, hydra["job"]["config"]["override_dirname"])
    numbered = {"num": spec.number, "id": str(spec.number), "override_dirname": dirname}
    hydra["job"] = {**hydra["job"], **numbered}
    hydra["runtime"] = {**hydra["runtime"], "output_dir": spec.folder}
    return {**config, "hydra": hydra}


def task_config(cfg: DictConfig) -> DictConfig:
    """Return a copy of a whole config without its `hydra` node, which a task function may change as it likes.

    Args:
        cfg: The whole config.
    """
    task = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    OmegaConf.set_struct(task, True)
    return task


def hydra_config(cfg: DictConfig) -> DictConfig:
    """Return a copy of the `hydra` node of a whole config that can still look into the rest of it.

    Args:
        cfg: The whole config.
    """
    with flag_override(cfg, "struct", False):
        return OmegaConf.masked_copy(cfg, "hydra")


def _folder(spec: Spec) -> Path:
    """Return where a job is to run."""
    sweep = spec.template.config["hydra"]["sweep"]
    study = spec.values.get("study", spec.template.config.get("study"))
    if (sweep["dir"], sweep["subdir"]) == (SWEEP_DIR, SWEEP_SUBDIR) and isinstance(study, str) and not waits(study):
        return run_folder(study, spec.overrides)
    with live(spec, read_only=True) as found:
        sweep = found.cfg.hydra.sweep
        return (Path(str(sweep.dir)) / str(sweep.subdir)).absolute()


def _replaced(tree: Any, folder: str) -> Any:
    """Return plain containers with a run folder in every place that waits for one."""
    if isinstance(tree, dict):
        return {key: _replaced(value, folder) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_replaced(value, folder) for value in tree]
    return tree.replace(FOLDER, folder) if isinstance(tree, str) else tree


def _fits(key: str, value: Any, config: Mapping[str, Any], shape: Sequence[Override]) -> bool:
    """Return whether a value may simply be put into a template."""
    for override in shape:
        other = override.key_or_group
        if override.type != OverrideType.CHANGE and (f"{key}.".startswith(f"{other}.") or other.startswith(key)):
            return False
    try:
        old = at(config, key)
    except (KeyError, TypeError):
        return False
    return not isinstance(old, dict | list) or (isinstance(value, list) and isinstance(old, list))


def _nested(keys: Iterable[str]) -> bool:
    """Return whether one key lies below another."""
    ordered = sorted(f"{key}." for key in keys)
    return any(below.startswith(key) for key, below in pairwise(ordered))


def _dirname(overrides: Sequence[str], settings: Any) -> str:
    """Write overrides as Hydra writes `hydra.job.override_dirname`."""
    excluded = set(settings["exclude_keys"])
    kept = [text for text in overrides if text.lstrip("+~").partition("=")[0].partition("@")[0] not in excluded]
    return str(settings["item_sep"]).join(sorted(kept)).replace("=", str(settings["kv_sep"]))
