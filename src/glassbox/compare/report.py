"""The report: one HTML file that holds all that it needs, and opens without a network."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from glassbox.compare.band import Bands, bands_of
from glassbox.compare.cell import grids, sensitivity
from glassbox.compare.factor import shown
from glassbox.compare.figure import Figure, heat_map, importance, parallel
from glassbox.compare.figure import sensitivity as sensitivity_figure
from glassbox.compare.importance import Matters
from glassbox.compare.ink import colors, log_scaled, rounded, word
from glassbox.compare.leaderboard import Group, Leaderboard
from glassbox.compare.origin import environment, lost_rows, sweep_row
from glassbox.compare.page import render
from glassbox.compare.run import Run, Runs, counts, mixed_data
from glassbox.compare.surface import extremes, surface
from glassbox.compare.table import cells, heads, interval, notes
from glassbox.tracking.keys import direction
from glassbox.tracking.record import now, write_atomic

FILE = "report.html"
TOP = 20  # configs that the leaderboard shows at first; the style sheet says it, too
DASHES = ("solid", "dash", "dot")


def write_report(
    path: Path,
    title: str,
    runs: Runs,
    board: Leaderboard,
    *,
    sweeps: Sequence[Mapping[str, Any]] = (),
    border: Sequence[str] = (),
    told: Sequence[tuple[str, str]] = (),
    shares: Matters | None = None,
) -> None:
    """Write the report of a study.

    Args:
        path: The file.
        title: The name of the study.
        runs: Its runs.
        board: Their leaderboard, or that of some of them.
        sweeps: What study.json says of its sweeps.
        border: What is to be said where the best lies on the border of the searched space.
        told: What matters, as (head, sentence).
        shares: The shares of the variance.

    Raises:
        OSError: It cannot be written.
    """
    ranked = [run for group in board.groups for run in group.runs]
    bands = bands_of(board)
    parts = _parts(board)
    bars = importance(shares) if shares else None
    figures = [one for part in parts for one in part["figures"]] + ([bars] if bars else [])
    for number, figure in enumerate(figures):
        figure |= {"title": "", "note": "", "choices": [], **figure, "id": f"plot-{number}"}
    first = [key for key, _ in shares.shares] if shares else []
    curves = _curves(bands, first) if bands.metrics else None
    lost = lost_rows(path.parent, ranked)
    page = {
        "title": title,
        "questions": _unique(sweep.get("question") for sweep in sweeps),
        "facts": _facts(board, ranked),
        "warnings": [*border, *_warnings(runs, bands, ranked)],
        "board": _board(board),
        "top": TOP,
        "told": told,
        "importance": bars,
        "curves": curves,
        "parts": parts,
        "lost": lost,
        "sweeps": [sweep_row(sweep) for sweep in sweeps],
        "environment": environment(ranked),
        "written": now().replace("T", " ").replace("+00:00", " UTC"),
        "version": metadata.version("glassbox"),
    }
    page["sections"] = _sections(page)
    drawn = [{key: one[key] for key in ("id", "data", "layout", "choices")} for one in figures]
    write_atomic(path, render(page, {"figures": drawn, "curves": curves}), sync=False)


def _parts(board: Leaderboard) -> list[dict[str, Any]]:
    """Return the sections that are nothing but figures; none is empty."""
    found: list[dict[str, Any]] = []

    def add(name: str, title: str, figures: Sequence[Figure], note: str = "") -> None:
        if figures:
            found.append({"id": name, "title": title, "figures": figures, "note": note})

    if board.ranked:
        lines = sensitivity(board)
        if lines:
            by = f" by {lines.rows.key}" if lines.rows.key else ""
            note = "Error bars: 95 % t interval. ×: no run there has a value; the mark says why."
            add("sensitivity", f"Sensitivity to {lines.columns.key}{by}", [sensitivity_figure(board, lines)], note)
        maps = [heat_map(board, grid) | {"title": f"{grid.columns.key} × {grid.rows.key}"} for grid in grids(board)]
        add("maps", "Two factors together", maps, f"Each cell: mean of {board.metric} over all of its runs.")
        coordinates = parallel(board)
        note = "A line per config, coloured by its mean; drag along an axis to pick some, click it to have all again."
        add("parallel", "All factors together", [coordinates] if coordinates else [], note)
        surfaces = [surface(run) | {"title": f"{name}: {_value(run, board)}", "note": run.name}
                    for name, run in extremes(board)]  # fmt: skip
        add("boundaries", "Decision boundaries", surfaces)
    return found


def _value(run: Run, board: Leaderboard) -> str:
    return f"{board.metric} {run.values[board.metric]:.4g}"


def _curves(bands: Bands, first: Sequence[str]) -> dict[str, Any]:
    """Return what the page draws curves from; coloured first by what explains the most."""
    views = {}
    for name, view in sorted(bands.views.items(), key=lambda item: [*first, item[0]].index(item[0])):
        count = len(view.scale) if view.scale else len(bands.bands)
        inks = colors(view.scale, count)
        seen: set[int] = set()
        lines = []
        for line in view.lines:
            label = view.scale.labels[line.level] if view.scale else bands.bands[line.band].name
            dash = "solid" if view.scale else DASHES[line.level // 8 % len(DASHES)]
            lines.append(
                {
                    "band": line.band, "color": inks[line.level], "dash": dash, "legend": word(label),
                    "first": line.level not in seen, "key": word(name) if view.scale else "",
                }
            )  # fmt: skip
            seen.add(line.level)
        if bands.best is not None:
            label = word(bands.bands[bands.best].name)
            lines.append({"band": bands.best, "dash": "solid", "legend": label, "first": True, "key": word(name)})
        views[name] = lines
    middles = {m: [v for band in bands.bands for v in band.values[m][0].tolist()] for m in bands.metrics}
    return {
        "epochs": bands.epochs.tolist(),
        "metrics": [*bands.metrics],
        "titles": [word(metric) for metric in bands.metrics],
        "log": [log_scaled(middles[metric], direction(metric)) for metric in bands.metrics],
        "bands": [
            {
                "name": word(band.name),
                "n": band.n,
                "values": {m: [rounded(part) for part in band.values[m].tolist()] for m in bands.metrics},
            }
            for band in bands.bands
        ],
        "views": views,
        "notes": _curve_notes(bands),
    }


def _curve_notes(bands: Bands) -> list[str]:
    if bands.each:
        several = any(band.n > 1 for band in bands.bands)
        return ["Line: mean over seeds. Band: from the smallest to the largest of them."] if several else []
    middle = "Coloured lines: median over configs, each the mean of its seeds. Band: the middle half of the configs."
    return [f"{middle} The best config: mean of its seeds, from the smallest to the largest."]


def _facts(board: Leaderboard, runs: Sequence[Run]) -> list[tuple[str, str]]:
    facts = [("runs", counts(runs)), ("configs", str(len(board.groups)))] if board.groups else [("runs", "none")]
    if board.ranked:
        best = board.ranked[0]
        name = " ".join(f"{k}={shown(v)}" for k, v in zip(board.keys, best.values, strict=True)) or "the only config"
        better = "smallest" if board.mode == "min" else "largest"
        facts += [("best", name), (f"{better} {board.metric}", f"{interval(best.metric)} (n = {best.metric.n})")]
        ties = sum(group.tie for group in board.ranked[1:])
        facts += [("not told apart from it", f"{ties} of {len(board.ranked) - 1}")] if len(board.ranked) > 1 else []
    return facts


def _board(board: Leaderboard) -> dict[str, Any]:
    rows = [_row(group, place) for place, group in enumerate(board.groups, start=1)]
    return {"heads": heads(board), "rows": rows, "notes": notes(board, len(rows))}


def _row(group: Group, place: int) -> dict[str, Any]:
    lost = ", ".join(f"{count} {status}" for status, count in group.lost.items())
    kind = "none" if not group.metric.n else "best" if place == 1 else "tie" if group.tie else "worse"
    return {"kind": kind, "cells": [*cells(group, place), lost]}


def _warnings(runs: Runs, bands: Bands, ranked: Sequence[Run]) -> list[str]:
    told = []
    if runs.unread:
        told.append(f"{len(runs.unread)} records are left out, for they cannot be read: {'; '.join(runs.unread[:3])}")
    if bands.curves.torn:
        told.append(f"{bands.curves.torn} metrics.csv end within a line, which is left out of the curves")
    if bands.curves.unread:
        told.append(f"{len(bands.curves.unread)} metrics.csv cannot be read: {bands.curves.unread[0]}")
    return [text for text in (*told, runs.repeats, mixed_data(ranked)) if text]


def _sections(page: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [
        ("leaderboard", "Leaderboard") if page["board"]["rows"] else None,
        ("matters", "What matters") if page["importance"] or page["told"] else None,
        ("curves", "Curves") if page["curves"] else None,
        *((part["id"], part["title"]) for part in page["parts"]),
        ("lost", "Runs without a result") if page["lost"] else None,
        ("environment", "How it was made"),
    ]
    return [one for one in found if one]


def _unique(texts: Any) -> list[str]:
    return [str(text) for text in dict.fromkeys(texts) if text]
