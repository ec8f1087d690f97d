"use strict";
// Draws the figures of the report and answers its selectors. All data is in the page.
const { figures, curves } = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const config = { responsive: true, displayModeBar: false };

function theme() {
  const style = getComputedStyle(document.documentElement);
  const [ink, pale, line, card] = ["ink", "pale", "line", "card"].map((name) => style.getPropertyValue("--" + name).trim());
  const axis = {
    gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true,
    tickfont: { color: pale }, title: { font: { color: pale }, standoff: 8 }, exponentformat: "power",
  };
  return {
    layout: {
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: [ink],
      margin: { l: 50, r: 16, t: 24, b: 44 }, xaxis: axis, yaxis: axis, hovermode: "closest",
      hoverlabel: { bgcolor: card, bordercolor: line, font: { color: ink, size: 13 }, align: "left", namelength: -1 },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    },
  };
}

// On a log axis of few decades: 1, 2 and 5 of each, written in full.
function ticks(data) {
  const values = data.flatMap((trace) => trace.visible === false ? [] : trace.y).filter((value) => value > 0);
  const decades = Math.log10(Math.max(...values) / Math.min(...values));
  return decades < 3 ? { dtick: "D2", tickformat: "~g" } : {};
}

function draw({ id, data, layout }) {
  if (layout.yaxis?.type === "log") layout = { ...layout, yaxis: { ...layout.yaxis, ...ticks(data) } };
  Plotly.react(id, data, { ...layout, template: theme() }, config);
}

// One line of the curves: a band, and the middle on it.
function traces(line, metric) {
  const { name, n, values } = curves.bands[line.band];
  if (!values[metric]) return [];
  const [middle, low, high] = values[metric];
  const at = curves.epochs.map((_, i) => i).filter((i) => middle[i] !== null);
  const edge = at.filter((i) => low[i] !== null && high[i] !== null);
  const pick = (array, places) => places.map((i) => array[i]);
  const epochs = pick(curves.epochs, at);
  const color = line.color || getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  const group = line.legend;
  const found = [];
  if (n > 1) {
    found.push({
      type: "scatter", mode: "lines", fill: "toself", fillcolor: color, opacity: 0.13, line: { width: 0 }, hoverinfo: "skip",
      x: [...pick(curves.epochs, edge), ...pick(curves.epochs, edge).reverse()],
      y: [...pick(low, edge), ...pick(high, edge).reverse()], showlegend: false, legendgroup: group,
    });
  }
  found.push({
    type: "scatter", mode: epochs.length > 1 ? "lines" : "markers", x: epochs, y: pick(middle, at), name: line.legend,
    legendgroup: group, showlegend: line.first, line: { color, width: line.color ? 2 : 2.6, dash: line.dash }, marker: { color },
    hovertext: at.map((i) => `<b>${name}</b><br>epoch ${curves.epochs[i]}: ${middle[i]}` +
      (n > 1 && low[i] !== null ? ` (${low[i]} – ${high[i]})<br>n = ${n}` : "")), hoverinfo: "text",
  });
  return found;
}

function drawCurves(reset) {
  const [metric, colour, log] = ["metric", "colour", "log"].map((id) => document.getElementById(id));
  if (reset) log.checked = curves.log[metric.selectedIndex];
  const lines = curves.views[colour.value];
  const found = lines.map((line) => traces(line, curves.metrics[metric.selectedIndex]));
  const data = [...found.map((pair) => pair.slice(0, -1)), ...found.map((pair) => pair.slice(-1))].flat();
  const title = curves.titles[metric.selectedIndex];
  draw({
    id: "plot-curves", data,
    layout: {
      xaxis: { title: { text: "epoch" } }, yaxis: { title: { text: title }, type: log.checked ? "log" : "linear" },
      legend: { title: { text: lines[0].key } },
    },
  });
}

// One after another, so that the page can be read and scrolled meanwhile.
async function drawAll() {
  if (curves) drawCurves(false);
  for (const figure of figures) {
    draw(figure);
    await new Promise((resolve) => setTimeout(resolve));
  }
  document.documentElement.dataset.drawn = "yes";
}

document.querySelectorAll("[data-choices]").forEach((select) => select.addEventListener("change", () => {
  const figure = figures.find((one) => one.id === select.dataset.choices);
  figure.data.forEach((trace, i) => { trace.visible = figure.choices[select.selectedIndex].seen[i]; });
  draw(figure);
}));
document.querySelectorAll("[data-all]").forEach((button) => button.addEventListener("click", () => {
  document.querySelector(`#${button.dataset.all} table`).classList.add("all");
  button.remove();
}));
if (curves) {
  document.getElementById("metric").addEventListener("change", () => drawCurves(true));
  document.getElementById("colour").addEventListener("change", () => drawCurves(false));
  document.getElementById("log").addEventListener("change", () => drawCurves(false));
  document.getElementById("log").checked = curves.log[0];
}
dark.addEventListener("change", drawAll);
drawAll();
