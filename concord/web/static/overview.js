// The overview's plots: one question for all series, drawn by uPlot, asked again every minute. The tables below them
// have the same values for those who do not see a canvas.
"use strict";

(() => {
  const section = document.querySelector("[data-plots]");
  if (!section || typeof uPlot === "undefined") return;
  const language = document.documentElement.lang;
  const boxes = [...section.querySelectorAll(".plot")];
  const number = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
  const hour = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hour12: false });
  const day = new Intl.DateTimeFormat(language, { month: "short", day: "numeric" });
  const moment = new Intl.DateTimeFormat(language, {
    month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false,
  });
  let data = null;
  let plots = [];

  const scaled = (value, steps) => {
    let [size, name] = steps[0];
    for (const [next, unit] of steps) if (value >= next) [size, name] = [next, unit];
    return `${number.format(value / size)} ${name}`;
  };
  const units = {
    count: (value) => number.format(value),
    seconds: (value) => scaled(value, [[1, "s"], [60, "min"], [3600, "h"], [86400, "d"]]),
    octets: (value) => scaled(value, [[1, "B"], [1e3, "kB"], [1e6, "MB"], [1e9, "GB"], [1e12, "TB"]]),
  };

  // Canvas knows no light-dark(): the colours are read off the page as it is shown now.
  const probe = document.createElement("span");
  const colour = (name) => {
    probe.className = `ink-${name}`;
    return getComputedStyle(probe).color;
  };
  const faded = (value, part) => value.replace(/^rgb\((.*)\)$/, `rgba($1, ${part})`);

  const axis = (values) => ({
    stroke: colour("soft"),
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
    ...values,
  });

  // Marks at midnights carry their day, all others their hour.
  const times = (_plot, marks) => marks.map((mark) => {
    const at = new Date(mark * 1000);
    return at.getHours() === 0 && at.getMinutes() === 0 ? day.format(at) : hour.format(at);
  });

  // Without a cursor the legend has the newest values.
  const newest = (values) => values.findLast((value) => value != null);
  const timeOf = (seconds) => (seconds == null ? "" : moment.format(new Date(seconds * 1000)));

  const options = (box, width) => {
    const told = units[box.dataset.unit];
    const shown = (value) => (value == null ? "–" : told(value));
    const series = box.dataset.series.split(";").map((pair) => pair.split("="));
    const lines = series.map(([, words], at) => ({
      label: words,
      stroke: colour(at + 1),
      width: 1.75,
      dash: [[], [6, 4], [2, 3], [9, 3, 2, 3], [1, 5]][at],
      fill: at === 0 ? faded(colour(1), 0.12) : undefined,
      points: { size: 4 },
      value: (plot, value, which, at) => shown(at == null ? newest(plot.data[which]) : value),
    }));
    return {
      width,
      height: 210,
      padding: [8, 18, 0, 0],
      cursor: { points: { size: 7 }, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.08 : 1] } },
      axes: [
        axis({ values: times, space: 64, size: 30 }),
        axis({
          values: (_plot, marks) => marks.map((mark) => told(mark)),
          size: (_plot, marks) => 14 + 6.6 * Math.max(2, ...(marks || []).map((mark) => mark.length)),
          incrs: box.dataset.unit === "count" ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7] : undefined,
        }),
      ],
      series: [{ label: "", value: (plot, value) => timeOf(value ?? plot.data[0].at(-1)) }, ...lines],
    };
  };

  const columns = (box) => {
    const names = box.dataset.series.split(";").map((pair) => pair.split("=")[0]);
    const begin = Date.parse(data.since) / 1000;
    const length = data.series[names[0]].length;
    return [Array.from({ length }, (_, at) => begin + at * data.step), ...names.map((name) => data.series[name])];
  };

  const draw = () => {
    document.body.append(probe);
    for (const plot of plots) plot.destroy();
    plots = boxes.map((box) => new uPlot(options(box, box.clientWidth), columns(box), box));
    probe.remove();
  };

  const load = async () => {
    const answer = await fetch(section.dataset.plots, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`numbers: ${answer.status}`);
    const first = data === null;
    data = await answer.json();
    if (first) draw();
    else plots.forEach((plot, at) => plot.setData(columns(boxes[at])));
    section.removeAttribute("data-lost");
  };
  const again = () => load().catch(() => section.setAttribute("data-lost", ""));

  let waiting = 0;
  new ResizeObserver(() => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => {
      plots.forEach((plot, at) => {
        if (boxes[at].clientWidth !== plot.width) plot.setSize({ width: boxes[at].clientWidth, height: 210 });
      });
    });
  }).observe(section);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => data && draw());
  again();
  setInterval(() => document.hidden || again(), 60_000);
})();
