// Numbers -> SVG: intervals, lines over time, shares, counts. Widths are percentages, so plots need no measuring.
// Every plot has a text alternative; colours follow the page's variables.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 40;

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function html(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const percent = (share) => `${(100 * Math.min(1, Math.max(0, share))).toFixed(2)}%`;

// Rows of {label, value, low, high, isStrong}: a dot for each value on a common axis from 0, a bar for its interval.
// A value or an interval may be null.
export function intervals(rows, { format, unit }) {
  const highest = Math.max(...rows.flatMap((row) => [row.value ?? 0, row.high ?? 0]), Number.MIN_VALUE);
  const list = html("ul", { class: "intervals", "aria-label": unit });
  for (const { label, value, low, high, isStrong } of rows) {
    const plot = svg("svg", { class: "interval", "aria-hidden": "true" }, svg("line", { class: "axis", x1: "0", x2: "100%", y1: 11, y2: 11 }));
    if (low !== null && high !== null) {
      plot.append(svg("line", { class: "range", x1: percent(low / highest), x2: percent(high / highest), y1: 11, y2: 11 }));
    }
    if (value !== null) plot.append(svg("circle", { class: "value", cx: percent(value / highest), cy: 11, r: 5 }));
    const range = low === null || high === null ? "" : ` (${format(low)} to ${format(high)})`;
    list.append(
      html(
        "li",
        isStrong ? { class: "is-strong" } : {},
        html("span", { class: "label", title: label }, label),
        plot,
        html("span", { class: "figure" }, value === null ? "not measured" : format(value), html("small", {}, range)),
      ),
    );
  }
  return list;
}

// Series of {name, points: [[seconds, value], …]} over the same seconds. Values may be null: a gap.
// Moving over the plot reads its values; its text alternative has the last ones.
export function lines(series, { format, label, since, until }) {
  const known = series.flatMap(({ points }) => points.map(([, value]) => value)).filter((value) => value !== null);
  const highest = Math.max(...known, Number.MIN_VALUE);
  const x = (at) => (100 * (at - since)) / Math.max(until - since, 1);
  const y = (value) => HEIGHT - 1 - ((HEIGHT - 3) * value) / highest;
  const cursor = svg("line", { class: "cursor", x1: -1, x2: -1, y1: 0, y2: HEIGHT, "vector-effect": "non-scaling-stroke" });
  const plot = svg(
    "svg",
    { class: "lines", viewBox: `0 0 100 ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("line", { class: "axis", x1: 0, x2: 100, y1: HEIGHT - 1, y2: HEIGHT - 1, "vector-effect": "non-scaling-stroke" }),
    ...series.map(({ points }, place) => svg("path", { class: `series-${place + 1}`, d: pathOf(points, x, y), "vector-effect": "non-scaling-stroke" })),
    cursor,
  );
  const last = series.map(({ name, points }) => `${name} ${shown(points.at(-1)?.[1] ?? null, format)}`).join(", ");
  const reading = html("figcaption", { class: "reading" }, `highest ${shown(known.length ? highest : null, format)}`);
  const names = series.map(({ name }, place) => html("li", { class: `series-${place + 1}` }, name));
  const legend = series.length > 1 ? [html("ul", { class: "swatches" }, ...names)] : [];
  const figure = html("figure", { class: "plot", role: "img", "aria-label": `${label}: ${last}` }, plot, reading, ...legend);
  figure.addEventListener("pointermove", ({ clientX }) => {
    const box = plot.getBoundingClientRect();
    const at = since + ((clientX - box.left) / box.width) * (until - since);
    const nearest = (points) => points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best), points[0]);
    if (!series[0].points.length) return;
    const place = x(nearest(series[0].points)[0]);
    for (const name of ["x1", "x2"]) cursor.setAttribute(name, place);
    const values = series.map(({ name, points }) => `${name} ${shown(nearest(points)[1], format)}`.trim());
    reading.textContent = `${Math.round(until - nearest(series[0].points)[0])} s ago: ${values.join(", ")}`;
  });
  return figure;
}

const shown = (value, format) => (value === null ? "none" : format(value));

function pathOf(points, x, y) {
  let path = "";
  let isDrawing = false;
  for (const [at, value] of points) {
    if (value !== null) path += `${isDrawing ? "L" : "M"}${x(at).toFixed(2)} ${y(value).toFixed(2)}`;
    isDrawing = value !== null;
  }
  // A single point shows as a dot, by the round end of a line without length.
  return /^M[^LM]*$/.test(path) ? `${path}h0` : path;
}

// Parts of {name, value}: one bar, each part's width its share of the sum. The legend gives the shares as text.
export function shares(parts, label) {
  const sum = parts.reduce((total, { value }) => total + value, 0);
  const bar = svg("svg", { class: "shares", "aria-hidden": "true" });
  const legend = html("ul", { class: "swatches", "aria-label": label });
  let before = 0;
  parts.forEach(({ name, value }, place) => {
    const share = sum ? value / sum : 0;
    bar.append(svg("rect", { class: `series-${place + 1}`, x: percent(before), width: percent(share), y: 0, height: "100%" }));
    before += share;
    legend.append(html("li", { class: `series-${place + 1}` }, name, html("strong", {}, sum ? percentage(share) : "–")));
  });
  return html("div", { class: "parts" }, bar, legend);
}

export const percentage = (share) => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)}%`;

// Counts of {label, value}, such as a histogram: one bar each, labels below.
export function bars(counts, label) {
  const highest = Math.max(...counts.map(({ value }) => value), Number.MIN_VALUE);
  const list = html("ol", { class: "bars", "aria-label": label });
  for (const { label: name, value } of counts) {
    const height = (30 * value) / highest;
    const bar = svg("svg", { "aria-hidden": "true" }, svg("rect", { class: "series-1", x: "8%", width: "84%", y: 30 - height, height }));
    list.append(html("li", { title: `${name}: ${value.toLocaleString("en")}` }, bar, html("span", {}, name), html("span", { class: "unseen" }, `: ${value}`)));
  }
  return list;
}

// Progress of a job: done and refused rows of all rows.
export function progress({ numRows, numAccepted, numRejected }, label) {
  const share = (count) => (numRows ? count / numRows : 0);
  return svg(
    "svg",
    { class: "progress", role: "img", "aria-label": label },
    svg("rect", { class: "accepted", x: 0, width: percent(share(numAccepted)), y: 0, height: "100%" }),
    svg("rect", { class: "rejected", x: percent(share(numAccepted)), width: percent(share(numRejected)), y: 0, height: "100%" }),
  );
}
