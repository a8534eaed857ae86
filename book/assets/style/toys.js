// Two figures that compute: one neuron in two coordinates, and a plane of two weights. Each stands in a page as
// <div class="toy" data-toy="..." data-still="..." hidden>, and replaces the still figure of that id where scripts run.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // ---- One linear neuron, r = wr + x, with x = 1 and the answer 2 wanted: J = (a − 2)², a = 1/(1 − w). ----
  const WANTED = 2;
  const response = w => 1 / (1 - w);
  const weight = a => 1 - 1 / a;
  const loss = w => (response(w) - WANTED) ** 2;
  const neuron = {
    gradient: (w, lr) => w - 2 * lr * (response(w) - WANTED) * response(w) ** 2,
    reparameterized: (w, lr) => weight(response(w) - 2 * lr * (response(w) - WANTED)),
    linearized: (w, lr) => w - 2 * lr * (response(w) - WANTED) * (1 - w) ** 2,
  };

  // ---- Two linear neurons, W = s E₁ + c E₂, of which the page on geometry draws a plane; J = |A − A*|². ----
  const h = Math.SQRT1_2, PLANE = [[[1, 0], [0, 0]], [[0, h], [h, 0]]], BEST = [-0.8, 0.5];
  const product = (P, Q) => P.map(row => Q[0].map((_, j) => row[0] * Q[0][j] + row[1] * Q[1][j]));
  const transposed = P => [[P[0][0], P[1][0]], [P[0][1], P[1][1]]];
  const inner = (P, Q) => P.flat().reduce((sum, p, k) => sum + p * Q.flat()[k], 0);
  const responses = ([s, c]) => [[1, h * c], [h * c, 1 - s]].map(row => row.map(entry => entry / (1 - s - (c * c) / 2)));
  const best = responses(BEST);
  const plane = {
    // The response metric in the plane: how far A moves when s or c does.
    metric(w) {
      const A = responses(w), [ds, dc] = PLANE.map(E => product(product(A, E), A));
      return [[inner(ds, ds), inner(ds, dc)], [inner(dc, ds), inner(dc, dc)]];
    },
    slope(w) {
      const A = responses(w), off = A.map((row, i) => row.map((entry, j) => 2 * (entry - best[i][j])));
      const D = product(product(transposed(A), off), transposed(A));
      return PLANE.map(E => inner(D, E));
    },
    gradient: (w, lr) => plane.slope(w).map((slope, k) => w[k] - lr * slope),
    linearized(w, lr) {
      const [[p, q], [, t]] = plane.metric(w), [a, b] = plane.slope(w), det = p * t - q * q;
      return [w[0] - (lr * (t * a - q * b)) / det, w[1] - (lr * (p * b - q * a)) / det];
    },
  };
  window.toys = { neuron, plane, loss };

  // ---- Drawing ----
  const make = (parent, name, attributes = {}, text) => {
    const node = parent.namespaceURI === SVG || name === "svg" ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const number = value => value.toPrecision(3).replace("-", "−").replace(/e\+?(.*)/, "·10^$1");
  const place = (node, attributes) => Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));

  // A panel with axes; it maps numbers to pixels and back.
  const panel = (parent, { x, y, xlabel, ylabel, title }) => {
    const svg = make(parent, "svg", { viewBox: "0 0 340 250", role: "group", "aria-label": title });
    const X = value => 44 + ((value - x[0]) / (x[1] - x[0])) * 286;
    const Y = value => 208 - ((value - y[0]) / (y[1] - y[0])) * 190;
    make(svg, "rect", { x: 44, y: 18, width: 286, height: 190, class: "frame" });
    for (const k of x[2]) make(svg, "text", { x: X(k), y: 224, class: "tick" }, String(k).replace("-", "−"));
    for (const k of y[2]) make(svg, "text", { x: 38, y: Y(k) + 4, class: "tick y" }, String(k).replace("-", "−"));
    make(svg, "text", { x: 187, y: 243, class: "axis" }, xlabel);
    make(svg, "text", { transform: "translate(13 113) rotate(-90)", class: "axis" }, ylabel);
    const inside = make(svg, "g");
    const clip = `toy-${document.querySelectorAll(".toy svg").length}`;
    make(make(make(svg, "defs"), "clipPath", { id: clip }), "rect", { x: 44, y: 18, width: 286, height: 190 });
    inside.setAttribute("clip-path", `url(#${clip})`);
    const value = event => {
      const box = svg.getBoundingClientRect();
      return [
        x[0] + ((((event.clientX - box.left) / box.width) * 340 - 44) / 286) * (x[1] - x[0]),
        y[0] + ((208 - ((event.clientY - box.top) / box.height) * 250) / 190) * (y[1] - y[0]),
      ];
    };
    const line = (points, attributes) => make(inside, "polyline", { points: points.map(([s, t]) => `${X(s)},${Y(t)}`).join(" "), ...attributes });
    return { svg, inside, X, Y, x, y, value, line };
  };
  const curve = (from, to, f) => Array.from({ length: 401 }, (_, k) => from + ((to - from) * k) / 400).map(s => [s, f(s)]);
  const drag = (view, handle, moved, keys) => {
    const move = event => moved(view.value(event));
    handle.addEventListener("pointerdown", event => {
      handle.setPointerCapture(event.pointerId);
      handle.addEventListener("pointermove", move);
      event.preventDefault();
    });
    for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => handle.removeEventListener("pointermove", move));
    handle.addEventListener("keydown", event => {
      const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (step) { keys(step.map(k => k * (event.shiftKey ? 0.25 : 0.05))); event.preventDefault(); }
    });
  };
  const controls = (toy, start) => {
    const row = make(toy, "div", { class: "controls" });
    const label = make(row, "label", {}, "learning rate η ");
    const slider = make(label, "input", { type: "range", min: Math.log10(start) - 2, max: Math.log10(start) + 1, step: 0.01, value: Math.log10(start) });
    const shown = make(label, "output");
    const button = text => make(row, "button", { type: "button" }, text);
    const rate = () => 10 ** slider.value;
    slider.addEventListener("input", () => { shown.value = number(rate()); slider.setAttribute("aria-valuetext", shown.value); });
    slider.dispatchEvent(new Event("input"));
    return { row, slider, rate, button };
  };
  const NAMES = { gradient: "ΔW₁, gradient", reparameterized: "ΔW₂, reparameterized", linearized: "ΔW₃, linearized" };
  const MARKS = {
    gradient: (x, y) => `M${x - 5} ${y}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0`,
    reparameterized: (x, y) => `M${x - 4.5} ${y - 4.5}h9v9h-9z`,
    linearized: (x, y) => `M${x} ${y - 6}l5.5 10h-11z`,
  };

  const STAR = (x, y) => Array.from({ length: 10 }, (_, k) => [x + (k % 2 ? 3.4 : 8) * Math.sin((k * Math.PI) / 5), y - (k % 2 ? 3.4 : 8) * Math.cos((k * Math.PI) / 5)]).map((at, k) => (k ? "L" : "M") + at).join("") + "z";

  const neuronToy = toy => {
    const rules = Object.keys(neuron), panels = make(toy, "div", { class: "panels" });
    const over = [
      panel(panels, { x: [-4, 4, [-4, -2, 0, 2, 4]], y: [-0.8, 16, [0, 4, 8, 12, 16]], xlabel: "weight w", ylabel: "loss", title: "The loss over the weight" }),
      panel(panels, { x: [-2, 6, [-2, 0, 2, 4, 6]], y: [-0.8, 16, [0, 4, 8, 12, 16]], xlabel: "response a = 1/(1 − w)", ylabel: "loss", title: "The loss over the response" }),
    ];
    const [left, right] = over, at = [w => w, response];
    left.line(curve(-4, 0.999, loss), { class: "curve" });
    left.line(curve(1.001, 4, loss), { class: "curve" });
    left.line([[1, -1], [1, 16]], { class: "wall" });
    right.line(curve(-2, 6, a => (a - WANTED) ** 2), { class: "curve" });
    make(left.svg, "text", { x: left.X(1) + 4, y: 32, class: "tick note" }, "w = 1");
    const marks = over.map(view => Object.fromEntries(rules.map(rule => [rule, { trail: view.line([], { class: `trail ${rule}` }), dot: make(view.inside, "path", { class: `dot ${rule}` }) }])));
    const handles = over.map(view => make(view.svg, "circle", { r: 7, class: "handle", tabindex: 0, role: "slider", "aria-label": "start", "aria-valuemin": -4, "aria-valuemax": 4 }));
    const { row, rate, slider, button } = controls(toy, 0.3);
    const legend = make(toy, "ul", { class: "legend", "aria-live": "polite" });
    const lines = Object.fromEntries(rules.map(rule => [rule, make(legend, "li", { class: rule })]));
    let start = 0, paths = {}, running = null;
    const show = () => {
      over.forEach((view, k) => {
        const [low, high] = view.x;
        for (const rule of rules) {
          const points = paths[rule].slice(-60).map(w => [Math.max(low - 9, Math.min(high + 9, at[k](w))), Math.min(40, loss(w))]);
          place(marks[k][rule].trail, { points: points.map(([s, t]) => `${view.X(s)},${view.Y(t)}`).join(" ") });
          const [s, t] = points.at(-1), x = view.X(Math.max(low, Math.min(high, s))), y = view.Y(Math.min(16, t));
          place(marks[k][rule].dot, { d: MARKS[rule](x, y) });
        }
        place(handles[k], { cx: view.X(Math.max(low, Math.min(high, at[k](start)))), cy: view.Y(Math.min(16, loss(start))), "aria-valuenow": start.toFixed(2), "aria-valuetext": `w = ${number(start)}, a = ${number(response(start))}` });
      });
      for (const rule of rules) {
        const w = paths[rule].at(-1), steps = paths[rule].length - 1;
        lines[rule].textContent = `${NAMES[rule]}: ${steps} step${steps === 1 ? "" : "s"}, w = ${number(w)}, loss ${number(loss(w))}`;
      }
    };
    const stop = () => { clearInterval(running); running = null; run.textContent = "Run"; };
    const reset = () => { if (running) stop(); paths = Object.fromEntries(rules.map(rule => [rule, [start]])); show(); };
    const step = () => { for (const rule of rules) { const next = neuron[rule](paths[rule].at(-1), rate()); if (Number.isFinite(next) && next !== 1) paths[rule].push(next); } show(); };
    const begin = w => { if (Math.abs(w - 1) > 0.02) { start = Math.max(-4, Math.min(4, w)); reset(); } };
    drag(left, handles[0], ([w]) => begin(w), ([right, up]) => begin(start + right + up));
    drag(right, handles[1], ([a]) => Math.abs(a) > 0.2 && begin(weight(a)), ([right, up]) => begin(weight(response(start) + right + up)));
    button("Step").addEventListener("click", step);
    const run = button("Run");
    run.addEventListener("click", () => {
      if (running) return stop();
      if (still.matches) { for (let k = 0; k < 40; k++) step(); return; }
      run.textContent = "Pause";
      running = setInterval(() => { step(); if (paths.gradient.length > 200) stop(); }, 150);
    });
    button("Back to the start").addEventListener("click", reset);
    slider.addEventListener("input", reset);
    row.after(legend);
    reset();
  };

  const planeToy = toy => {
    const panels = make(toy, "div", { class: "panels" }), SIZE = 0.2;
    const view = panel(panels, { x: [-2.2, 2.2, [-2, -1, 0, 1, 2]], y: [-1.45, 1.45, [-1, 0, 1]], xlabel: "s", ylabel: "c", title: "A plane of two weights" });
    view.line(curve(-1.5, 1.5, c => c).map(([c]) => [1 - (c * c) / 2, c]), { class: "wall" });
    make(view.inside, "path", { d: STAR(view.X(BEST[0]), view.Y(BEST[1])), class: "star" });
    const parts = Object.fromEntries(["gradient", "linearized"].map(rule => [rule, { ball: view.line([], { class: `ball ${rule}` }), step: view.line([], { class: `trail ${rule}` }), dot: make(view.inside, "path", { class: `dot ${rule}` }) }]));
    const handle = make(view.svg, "circle", { r: 7, class: "handle", tabindex: 0, role: "slider", "aria-label": "the weights s and c", "aria-valuemin": -2.2, "aria-valuemax": 2.2 });
    const { rate, slider } = controls(toy, 0.1);
    const legend = make(toy, "ul", { class: "legend", "aria-live": "polite" });
    const lines = { gradient: make(legend, "li", { class: "gradient" }), linearized: make(legend, "li", { class: "linearized" }) };
    let w = [0.2, 0.6];
    const show = () => {
      const [[p, q], [, t]] = plane.metric(w);
      const lengths = { gradient: () => 1, linearized: (x, y) => Math.sqrt(p * x * x + 2 * q * x * y + t * y * y) };
      for (const [rule, { ball, step, dot }] of Object.entries(parts)) {
        const around = curve(0, 2 * Math.PI, s => s).map(([s]) => {
          const [x, y] = [Math.cos(s), Math.sin(s)], size = SIZE / lengths[rule](x, y);
          return `${view.X(w[0] + size * x)},${view.Y(w[1] + size * y)}`;
        });
        const next = plane[rule](w, rate());
        place(ball, { points: around.join(" ") });
        place(step, { points: [w, next].map(([x, y]) => `${view.X(x)},${view.Y(y)}`).join(" ") });
        place(dot, { d: MARKS[rule](view.X(next[0]), view.Y(next[1])) });
        lines[rule].textContent = `${NAMES[rule]}: next step to s = ${number(next[0])}, c = ${number(next[1])}`;
      }
      place(handle, { cx: view.X(w[0]), cy: view.Y(w[1]), "aria-valuenow": w[0].toFixed(2), "aria-valuetext": `s = ${number(w[0])}, c = ${number(w[1])}` });
    };
    const moved = ([u, v]) => { if (Math.abs(1 - u - (v * v) / 2) > 0.01) { w = [Math.max(-2.2, Math.min(2.2, u)), Math.max(-1.4, Math.min(1.4, v))]; show(); } };
    drag(view, handle, moved, ([right, up]) => moved([w[0] + right, w[1] + up]));
    slider.addEventListener("input", show);
    show();
  };

  document.querySelectorAll(".toy[data-toy]").forEach(toy => {
    ({ neuron: neuronToy, plane: planeToy })[toy.dataset.toy](toy);
    toy.hidden = false;
    document.getElementById(toy.dataset.still)?.classList.add("toy-shown");
  });
})();
