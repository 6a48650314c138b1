// The page of `gameday view`. It asks, shows and sends; what is true, and what may be done, the server says.
const MAP_SECONDS = 2, BOARD_SECONDS = 10, RUN_SECONDS = 30, FIRST_SECONDS = 30;
const SVG = "http://www.w3.org/2000/svg";
const dark = matchMedia("(prefers-color-scheme: dark)");
const byId = (id) => document.getElementById(id);
// `complaint` is what the last click came to, until the next one.
let map = null, chosen = null, boards = [], heard = 0, complaint = "";

function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element[name] = value;
  element.append(...children);
  return element;
}

function drawn(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

async function ask(path, options) {
  const answer = await fetch(path, options);
  const told = await answer.json().catch(() => ({ error: `${answer.status} ${answer.statusText}` }));
  if (!answer.ok) throw new Error([told.error, told.mend].filter(Boolean).join("\n"));
  return told;
}

// Asks again and again while somebody looks; one question at a time.
function every(seconds, look) {
  const again = async () => {
    if (!document.hidden) await look();
    setTimeout(again, seconds * 1000);
  };
  again();
}

// --- the edge map

async function lookAtMap() {
  try {
    map = await ask("api/map");
  } catch (error) {
    const since = heard ? ` What is shown is ${Math.round((Date.now() - heard) / 1000)} s old.` : "";
    alarm(`The system does not answer: ${error.message}.${since} Start one with: gameday up --wire all`);
    document.body.classList.add("gone");
    byId("system").textContent = "no system";
    return;
  }
  heard = Date.now();
  document.body.classList.remove("gone");
  alarm([complaint, map.failure, map.prometheus && `Breakers and boards are not known: ${map.prometheus}`].filter(Boolean).join(" · "));
  const whole = map.services.filter((service) => service.state === "healthy" && !service.leases.length).length;
  byId("system").textContent = `${whole} of ${map.services.length} services healthy; ${
    map.wired ? "every edge wired" : "not wired: only services can be broken (gameday up --wire all)"}; time scale ${map.time_scale}`;
  showMap();
  showLeases();
}

function alarm(message) {
  if (byId("alarm").textContent !== message) byId("alarm").textContent = message;
  byId("alarm").hidden = !message;
}

function showMap() {
  const drawing = byId("drawing");
  const shape = JSON.stringify([map.width, map.services.map((each) => [each.name, each.x, each.y]), map.edges.map((each) => each.name)]);
  if (drawing.dataset.shape !== shape) {
    drawing.dataset.shape = shape;
    for (const [name, value] of Object.entries({ width: map.width, height: map.height, viewBox: `0 0 ${map.width} ${map.height}` }))
      drawing.setAttribute(name, value);
    const arrow = drawn("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
      drawn("path", { d: "M0 0 8 4 0 8z", fill: "context-stroke" }));
    drawing.replaceChildren(drawn("defs", {}, arrow), ...map.edges.map(edgeElement), ...map.services.map(serviceElement));
  }
  for (const edge of map.edges) {
    const element = byId(edgeId(edge)), fault = edge.leases.length ? ["fault"] : [];
    const kinds = [edge.breaker ?? "", edge.kind === "message" ? "message" : "", edge.telemetry ? "telemetry" : "", ...fault];
    element.setAttribute("class", ["edge", ...kinds, ...near(edge.from, edge.to)].join(" "));
    const hidden = (edge.telemetry && !byId("telemetry").checked) || (edge.kind === "message" && !byId("messages").checked);
    element.style.display = hidden && !fault.length ? "none" : "";
    element.setAttribute("aria-label", `edge ${edge.name}, ${edge.kind}, breaker ${edge.breaker ?? "not reported"}${fault.length ? ", fault in force" : ""}`);
    element.firstChild.textContent = element.getAttribute("aria-label");
  }
  for (const service of map.services) {
    const element = byId(`service ${service.name}`);
    const faults = map.leases.filter((lease) => service.leases.includes(lease.id)).map((lease) => lease.fault);
    const states = [service.state ?? "unknown", ...(faults.length ? ["fault"] : [])];
    element.setAttribute("class", ["service", ...states, ...near(service.name)].join(" "));
    // A paused process is as healthy for its supervisor as it was: the fault has the word.
    element.lastChild.textContent = faults.length ? `${faults.join(", ")} in force` : service.state ?? "does not run";
    element.setAttribute("aria-label", `${service.name}, ${element.lastChild.textContent}`);
  }
}

const edgeId = (edge) => `edge ${edge.name} ${edge.kind}`;

function serviceElement(service) {
  const x = service.x + service.width / 2, y = service.y + service.height / 2;
  const element = drawn("g", { id: `service ${service.name}` },
    drawn("rect", { x: service.x, y: service.y, width: service.width, height: service.height, rx: 8 }),
    drawn("text", { x, y: y - 1 }, service.name), drawn("text", { x, y: y + 13, class: "state" }));
  element.onmouseenter = element.onfocus = () => highlight(service.name);
  element.onmouseleave = element.onblur = () => highlight(null);
  return button(element, () => open(service.name));
}

function edgeElement(edge) {
  const way = curve(edge.points ?? straight(edge));
  return button(drawn("g", { id: edgeId(edge) },
    drawn("title", {}), drawn("path", { d: way, class: "reach" }), drawn("path", { d: way, class: "line" })), () => open(edgeId(edge)));
}

function button(element, act) {
  element.setAttribute("tabindex", 0);
  element.setAttribute("role", "button");
  element.onclick = act;
  element.onkeydown = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  };
  return element;
}

// Of what the layout did not route: messages, telemetry.
function straight(edge) {
  const [from, to] = [edge.from, edge.to].map((name) => map.services.find((each) => each.name === name));
  const right = to.x >= from.x;
  return [[from.x + (right ? from.width : 0), from.y + from.height / 2], [to.x + (right === (to.x !== from.x) ? 0 : to.width), to.y + to.height / 2]];
}

function curve([[x, y], ...rest]) {
  let way = `M${x} ${y}`;
  for (const [toX, toY] of rest) {
    const bend = toX === x ? 60 : (toX - x) / 2;
    way += `C${x + bend} ${y} ${toX === x ? x + bend : toX - bend} ${toY} ${toX} ${toY}`;
    [x, y] = [toX, toY];
  }
  return way;
}

let highlighted = null;
function highlight(name) {
  highlighted = name;
  byId("drawing").classList.toggle("chosen", name !== null);
  showMap();
}

function near(...names) {
  if (highlighted === null) return [];
  if (names.length === 2) return names.includes(highlighted) ? ["near"] : [];
  const met = (edge) => byId(edgeId(edge)).style.display !== "none" && [edge.from, edge.to].includes(highlighted) && [edge.from, edge.to].includes(names[0]);
  return names[0] === highlighted || map.edges.some(met) ? ["near"] : [];
}

// --- leases

function showLeases() {
  list(byId("leases"), map.leases);
  if (chosen) list(byId("dialog-leases"), map.leases.filter((lease) => found(chosen)?.leases.includes(lease.id)));
}

// Items that stay are kept, so that a focused button is not taken away.
function list(element, leases) {
  for (const item of [...element.children]) if (!leases.some((lease) => lease.id === item.dataset.lease)) item.remove();
  for (const lease of leases) {
    let item = [...element.children].find((each) => each.dataset.lease === lease.id);
    if (!item) {
      item = made("li", {}, made("strong", { textContent: `${lease.fault} on ${lease.target}` }), made("span", { className: "quiet" }), made("span", { className: "left" }));
      item.dataset.lease = lease.id;
      if (lease.mine) item.append(made("button", { type: "button", textContent: "Undo", onclick: (event) => undo(lease.id, event.target) }));
      element.append(item);
    }
    const told = [lease.state, lease.met ? "met" : "met by nobody yet", lease.mine ? "" : `held by ${lease.run}`, lease.error ?? "", lease.mend ? `mend: ${lease.mend}` : ""];
    item.children[1].textContent = told.filter(Boolean).join("; ");
    item.dataset.ends = Date.now() + lease.left * 1000;
  }
  count();
}

function count() {
  for (const item of document.querySelectorAll("[data-lease]")) {
    const left = Math.ceil((item.dataset.ends - Date.now()) / 1000);
    item.querySelector(".left").textContent = left > 0 ? `${left} s left` : "being undone";
  }
}

async function undo(lease, pressed) {
  pressed.disabled = true;
  complaint = "";
  try {
    await ask(`api/leases/${lease}`, { method: "DELETE" });
  } catch (error) {
    refuse(error.message);
  }
  pressed.disabled = false;
  await lookAtMap();
}

function refuse(message) {
  if (byId("dialog").open) byId("refused").textContent = message;
  else complaint = message;
}

// --- the dialog of a service or an edge

const found = (id) => map.services.find((each) => each.name === id) ?? map.edges.find((each) => edgeId(each) === id);

async function open(id) {
  chosen = id;
  const it = found(id);
  byId("dialog-title").textContent = it.name;
  byId("facts").replaceChildren(...Object.entries(facts(it)).flatMap(([name, value]) => [made("dt", { textContent: name }), made("dd", { textContent: value })]));
  byId("refused").textContent = "";
  byId("breaking").hidden = byId("inject").hidden = true;
  byId("dialog").showModal();
  showLeases();
  if (it.from && !it.wired) {
    byId("refused").textContent = it.kind === "message" ? "Messages go through the broker: break its edges." : "This edge does not run through a proxy: gameday down && gameday up --wire all";
    return;
  }
  try {
    const { longest, faults } = await ask(`api/faults?target=${encodeURIComponent(it.name)}`);
    byId("seconds").max = longest;
    byId("seconds").value = Math.min(FIRST_SECONDS, longest);
    byId("fault").replaceChildren(...faults.map((fault) => made("option", { textContent: fault.name, value: JSON.stringify(fault) })));
    byId("breaking").hidden = byId("inject").hidden = !faults.length;
    showArguments();
    byId("fault").focus();
  } catch (error) {
    refuse(error.message);
  }
}

function facts(it) {
  if (!it.from) return Object.fromEntries(it.replicas.map((each) => [each.name, [each.state, each.detail, each.url].filter(Boolean).join(", ")]));
  return { kind: it.kind, port: it.port ?? "-", "known by": it.evidence.join(", "), "on loss": it.on_loss ?? "-", breaker: it.breaker ?? "none reports", wired: it.wired ? "yes" : "no" };
}

function showArguments() {
  if (!byId("fault").value) return;
  const { arguments: schema } = JSON.parse(byId("fault").value);
  byId("hint").textContent = schema.description ?? "";
  byId("arguments").replaceChildren(...Object.entries(schema.properties ?? {}).map(([name, told]) =>
    made("label", {}, name, field(name, told, (schema.required ?? []).includes(name)))));
}

function field(name, told, required) {
  const value = told.default ?? "";
  if (told.enum) return made("select", { name }, ...told.enum.map((each) => made("option", { textContent: each, selected: each === value })));
  const number = [told, ...(told.anyOf ?? [])].find((each) => ["number", "integer"].includes(each.type));
  return made("input", { name, value, required, type: number ? "number" : "text", step: number?.type === "integer" ? 1 : "any", min: number?.minimum ?? "", max: number?.maximum ?? "" });
}

// What is left empty is not sent: then the default holds.
function given() {
  const fields = [...byId("arguments").querySelectorAll("input, select")].filter((each) => each.value !== "");
  return Object.fromEntries(fields.map((each) => [each.name, each.type === "number" ? Number(each.value) : each.value]));
}

async function inject(event) {
  event.preventDefault();
  const told = { fault: JSON.parse(byId("fault").value).name, target: found(chosen).name, arguments: given(), seconds: Number(byId("seconds").value) };
  byId("refused").textContent = "";
  byId("inject").disabled = true;
  try {
    await ask("api/leases", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(told) });
    byId("dialog").close();
  } catch (error) {
    refuse(error.message);
  }
  byId("inject").disabled = false;
  await lookAtMap();
}

// --- boards

async function lookAtBoards() {
  try {
    boards = await ask("api/boards");
  } catch (error) {
    byId("about").textContent = error.message;
    return;
  }
  byId("board").replaceChildren(...boards.map((board) => made("option", { value: board.uid, textContent: board.title })));
  if (!boards.length) byId("about").textContent = "There is no board here: gameday dashboards build";
  else showBoard();
}

function showBoard() {
  const board = boards.find((each) => each.uid === byId("board").value);
  byId("about").textContent = [board.description, board.error, "Times are UTC."].filter(Boolean).join(" · ");
  byId("variables").replaceChildren(...board.variables.map((variable) => made("label", {}, `${variable.label} `,
    made("select", { name: variable.name, onchange: lookAtPanels }, ...variable.values.map((value) =>
      made("option", { value, textContent: value === "$__all" ? "all" : value, selected: value === variable.value }))))));
  byId("panels").replaceChildren(...board.panels.map(panelElement));
  lookAtPanels();
}

function panelElement(panel) {
  const { x, y, w, h } = panel.place;
  if (panel.kind === "row") {
    const row = made("h3", { className: "row", textContent: panel.title });
    row.style.gridRow = y + 1;
    return row;
  }
  const element = made("article", { className: "panel", title: panel.description }, made("h4", { textContent: panel.title }),
    made("div", { className: "plot", role: "img", ariaLabel: `${panel.title}: ${panel.description}` }, made("div")), made("p", { className: "silence", hidden: true }));
  element.dataset.panel = panel.id;
  element.style.gridArea = `${y + 1} / ${x + 1} / span ${h} / span ${w}`;
  return element;
}

async function lookAtPanels() {
  await Promise.all([...document.querySelectorAll("[data-panel]")].map(lookAtPanel));
}

async function lookAtPanel(element) {
  const asked = new URLSearchParams([...byId("variables").querySelectorAll("select")].map((each) => [`var-${each.name}`, each.value]));
  if (byId("range").value) asked.set("seconds", byId("range").value);
  let told;
  try {
    told = await ask(`api/boards/${encodeURIComponent(byId("board").value)}/panels/${element.dataset.panel}?${asked}`);
  } catch (error) {
    told = { silent: error.message };
  }
  if (!element.isConnected) return;
  element.classList.toggle("silent", Boolean(told.silent));
  element.querySelector(".silence").textContent = told.silent;
  element.querySelector(".silence").hidden = !told.silent;
  element.figure = told.figure ?? element.figure;
  plot(element);
}

// A string such as "--failed" is the name of a CSS variable of the page's scheme.
function painted(value, style) {
  if (typeof value === "string") return value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
  if (Array.isArray(value)) return value.map((item) => painted(item, style));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, painted(item, style)]));
  return value;
}

function plot(element) {
  if (!element.figure) return;
  const figure = painted(element.figure, getComputedStyle(document.documentElement));
  const place = element.querySelector(".plot").firstChild;
  place.style.height = figure.layout.height ? `${figure.layout.height}px` : "100%";
  Plotly.react(place, figure.data, figure.layout, { responsive: true, displaylogo: false, displayModeBar: false });
}

// --- runs

async function lookAtRuns() {
  let runs;
  try {
    runs = await ask("api/runs");
  } catch (error) {
    byId("run-rows").replaceChildren(made("tr", {}, made("td", { colSpan: 4, textContent: error.message })));
    return;
  }
  if (!runs.length) byId("run-rows").replaceChildren(made("tr", {}, made("td", { colSpan: 4, textContent: "No run is kept here yet." })));
  else byId("run-rows").replaceChildren(...runs.map(runRow));
}

function runRow(run) {
  const name = run.report ? made("a", { href: run.report, target: "_blank", textContent: run.id }) : run.id;
  return made("tr", {}, made("td", {}, name), made("td", {}, made("span", { className: `chip ${run.verdict ?? ""}`, textContent: run.verdict ?? "no verdict" })),
    made("td", { textContent: run.started }), made("td", { className: "number", textContent: run.mib.toFixed(1) }));
}

byId("board").onchange = showBoard;
byId("range").onchange = lookAtPanels;
byId("telemetry").onchange = byId("messages").onchange = showMap;
byId("fault").onchange = showArguments;
byId("dialog").querySelector("form").onsubmit = inject;
byId("close").onclick = () => byId("dialog").close();
byId("dialog").onclose = () => { chosen = null; };
dark.addEventListener("change", () => document.querySelectorAll("[data-panel]").forEach(plot));
setInterval(count, 500);
every(MAP_SECONDS, lookAtMap);
every(RUN_SECONDS, lookAtRuns);
every(BOARD_SECONDS, () => boards.length ? byId("live").checked && lookAtPanels() : lookAtBoards());
