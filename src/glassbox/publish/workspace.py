"""The workspace of a study as code: the factors and the metric of the leaderboard, as W&B shows them."""

import hashlib
import importlib.util
import io
from collections.abc import Hashable, Sequence
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any

from glassbox.compare.factor import shown, spans_decades, value_of
from glassbox.compare.leaderboard import Leaderboard
from glassbox.compare.run import Run
from glassbox.errors import GlassboxError, told
from glassbox.publish.segment import id_of
from glassbox.tracking.identity import CHOICE, GROUPS
from glassbox.tracking.keys import at_best

if TYPE_CHECKING:
    from wandb_workspaces import workspaces

MISSING = "A workspace needs wandb-workspaces: pip install 'glassbox[publish]', then the same command again"
MAIN = "optimizer"  # what the curves are grouped by if it varies
# Okabe and Ito's colours, which are told apart by the colour-blind, too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
LINES = 100  # of a panel


def installed() -> bool:
    """Return whether a workspace can be made."""
    return importlib.util.find_spec("wandb_workspaces") is not None


def workspace(
    study: str,
    board: Leaderboard,
    runs: Sequence[Run],
    others: Sequence[str],
    *,
    entity: str,
    project: str,
    question: str | None = None,
    commands: Sequence[str] = (),
) -> "workspaces.Workspace":
    """Return the workspace of a study: its means by group are those of the leaderboard.

    Args:
        study: The study.
        board: Its leaderboard, by all that varies.
        runs: The runs of the leaderboard.
        others: The ids of runs that do not count, such as those that repeat another.
        entity: The user or team.
        project: The project.
        question: What the study asks.
        commands: What made it.
    """
    import wandb_workspaces.reports.v2 as reports
    from wandb_workspaces import workspaces as ws

    wr: Any = reports
    keys = sorted(board.keys, key=lambda key: key != MAIN)  # the main one first
    metric = next(iter(at_best({board.metric: 0.0})))
    columns = [_column(wr, key, runs) for key in keys]
    columns.append(wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(metric)))
    numbers = [key for key in keys if _numbers([run.config.get(key) for run in runs])]
    x = wr.Config(config_key(numbers[0])) if numbers else wr.SummaryMetric("best/epoch")
    scatter = wr.ScatterPlot(title=f"{board.metric} of the best checkpoint", x=x, y=wr.SummaryMetric(metric))
    scatter.log_x = bool(numbers) and _wide([run.config[numbers[0]] for run in runs])
    panels = [
        *(_curves(wr, name, keys) for name in dict.fromkeys((board.metric, "val/loss", "train/loss"))),
        scatter,
        wr.ParallelCoordinatesPlot(columns=columns),
        wr.ParameterImportancePlot(with_respect_to=metric),
        wr.MarkdownPanel(markdown=_text(study, board, question, commands)),
    ]
    filters = [ws.Metric("Group") == study, ws.Metric("State") == "finished"]
    if others:
        filters.append(ws.Metric("ID").notin(list(others)))
    colours = _colours(runs, keys[0]) if keys else {}
    made = ws.Workspace(
        entity=entity,
        project=project,
        name=study,
        sections=[ws.Section(name=study, panels=panels, is_open=True)],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=LINES),
        runset_settings=ws.RunsetSettings(
            filters=ws.And(*filters),
            groupby=[ws.Config(config_key(key)) for key in keys],
            order=[ws.Ordering(ws.Summary(metric), ascending=board.mode == "min")],
            group_colors={shown(value): colour for value, colour in colours.items()},
            run_settings={
                id_of(run.fields): ws.RunSettings(color=colours[value_of(run.config, keys[0])])
                for run in runs
                if colours
            },
            pinned_columns=["run:displayName", f"summary:{metric}", f"summary:{board.test_metric}"],
        ),
    )
    made._internal_name = f"nw-{_short_name(study)}-v"
    return made


def save(made: "workspaces.Workspace") -> str:
    """Save a workspace, in place of what was saved of the same study, and return its address.

    Args:
        made: The workspace.

    Raises:
        GlassboxError: The server does not take it.
    """
    import wandb
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError
    from wandb_workspaces.workspaces import internal

    view: Any = made  # the library has no types for it
    try:
        view._internal_id = _saved(internal, made)
        with redirect_stderr(io.StringIO()):  # it tells the address
            view.save()
    except (wandb.Error, WandbApiFailedError, ValueError) as error:
        raise GlassboxError(f"The workspace of {made.name} is not saved: {told(error)}") from error
    return str(made.url)


def _saved(internal: Any, made: "workspaces.Workspace") -> str:
    """Return W&B's id of what was saved of the same study; empty if nothing was."""
    try:
        return str(internal.get_view_dict(made.entity, made.project, _short_name(made.name))["id"])
    except ValueError as error:
        if "not found in project" in str(error):
            return ""
        raise


def config_key(key: str) -> str:
    """Return where W&B's config of a run has a factor: an option is there beside what it stands for.

    Args:
        key: The factor.

    Example:
        >>> config_key("optimizer"), config_key("optimizer.eps"), config_key("lr")
        ('choice.optimizer', 'optimizer.eps', 'lr')
    """
    if key == "data.sha256":
        return "data.path"
    return f"{CHOICE}.{key}" if key in (*GROUPS, "callbacks") else key


def _short_name(study: str) -> str:
    """Return W&B's name of the workspace, always the same for a study: eleven letters and digits."""
    return hashlib.sha256(study.encode()).hexdigest()[:11]


def _curves(wr: Any, name: str, keys: Sequence[str]) -> Any:
    by = {"groupby": wr.Config(config_key(keys[0])), "aggregate": True} if keys else {}
    band = {"groupby_aggfunc": "mean", "groupby_rangefunc": "minmax", "max_runs_to_show": LINES}
    return wr.LinePlot(title=name, x="epoch", y=[name], **band, **by)


def _column(wr: Any, key: str, runs: Sequence[Run]) -> Any:
    values = [run.config.get(key) for run in runs]
    return wr.ParallelCoordinatesPlotColumn(metric=wr.Config(config_key(key)), display_name=key, log=_wide(values))


def _numbers(values: Sequence[object]) -> list[float]:
    """Return values if all of them are numbers; else nothing."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return numbers if len(numbers) == len(values) else []


def _wide(values: Sequence[object]) -> bool:
    """Return whether values are numbers that are looked at on a log scale."""
    return spans_decades(_numbers(values))


def _colours(runs: Sequence[Run], key: str) -> dict[Hashable, str]:
    values = dict.fromkeys(value_of(run.config, key) for run in runs)
    return {value: COLOURS[number % len(COLOURS)] for number, value in enumerate(values)}


def _text(study: str, board: Leaderboard, question: str | None, commands: Sequence[str]) -> str:
    """Return the text of the study, as Markdown in which nothing of the user's is markup."""
    lines = [f"## {_plain(study)}", *([_plain(question)] if question else [])]
    lines += ["```", *(command.replace("```", "` ` `") for command in commands), "```"] if commands else []
    lines.append(
        f"{_plain(board.metric)} is that of the best checkpoint, {board.mode} is better; "
        "scripts/compare.py says which differences are more than seeds."
    )
    return "\n\n".join(lines).replace("```\n\n", "```\n").replace("\n\n```", "\n```")


def _plain(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+-!|~$" else letter for letter in text)
