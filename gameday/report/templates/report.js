"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");

// A string such as "--failed" is the name of a CSS variable of the page's scheme.
function painted(value, style) {
  if (typeof value === "string") return value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
  if (Array.isArray(value)) return value.map((item) => painted(item, style));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, painted(item, style)]));
  return value;
}

function draw() {
  const style = getComputedStyle(document.documentElement);
  for (const source of document.querySelectorAll("script[id$=-figure]")) {
    const figure = painted(JSON.parse(source.textContent), style);
    const plot = document.getElementById(source.id.replace(/-figure$/, "-plot"));
    plot.style.height = figure.layout.height + "px";
    Plotly.react(plot, figure.data, figure.layout, { responsive: true, displaylogo: false, displayModeBar: false });
  }
}

draw();
dark.addEventListener("change", draw);
