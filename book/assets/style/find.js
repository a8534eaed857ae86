// The search shows words: of a page its text, without code, menus and TeX; and it knows "eq. 5.3".
(() => {
  if (typeof Search === "undefined") return; // on every page but the search's

  const NAMES = { eq: "equation", eqs: "equation", equations: "equation", fig: "figure", figs: "figure", thm: "theorem", ex: "exercise", def: "definition" };
  const NUMBER = /^(?:([a-z]+)\.?\s*)?\(?(n?[\d]*\.\d+)\)?$/i;
  const query = Search.query;
  Search.query = text => {
    const [, name, number] = NUMBER.exec(text.trim()) ?? [];
    query(number ? `${NAMES[name?.toLowerCase()] ?? name ?? "equation"} ${number}` : text);
  };

  // A section whose title has the words comes before pages that have them somewhere.
  Scorer.score = ([, title, anchor, , score]) => score + (anchor && title.includes(" > ") ? 40 : 0);

  const GREEK = { alpha: "α", beta: "β", gamma: "γ", delta: "δ", Delta: "Δ", epsilon: "ε", eta: "η", theta: "θ", lambda: "λ", mu: "μ", nu: "ν",
    pi: "π", rho: "ρ", sigma: "σ", tau: "τ", phi: "φ", omega: "ω", partial: "∂", nabla: "∇", cdot: "·", times: "×", le: "≤", ge: "≥", ne: "≠",
    approx: "≈", infty: "∞", to: "→", in: "∈", sqrt: "√", pm: "±", lVert: "‖", rVert: "‖", langle: "⟨", rangle: "⟩", mapsto: "↦", odot: "⊙", sum: "Σ", ell: "ℓ", chi: "χ", zeta: "ζ", kappa: "κ", Re: "Re ", mid: "|", ldots: "…", dots: "…" };
  const LOW = "₀₁₂₃₄₅₆₇₈₉", HIGH = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const words = tex => tex
    .replace(/\\[()[\]]|\\[,;:! ]|\\(left|right|mathrm|mathbf|mathsf|text|operatorname|dot|hat|bar|tfrac|frac)(?![a-z])/g, "")
    .replace(/_(\d)/g, (_, d) => LOW[d]).replace(/\^(\d)/g, (_, d) => HIGH[d])
    .replace(/\^\{-1\}/g, "⁻¹").replace(/\^(\{\\?T\}|\\?T\b|\{ T\})/g, "ᵀ")
    .replace(/\\([A-Za-z]+) ?/g, (_, name) => GREEK[name] ?? `${name} `).replace(/[{}\\]/g, "");
  const NOT_TEXT = ".headerlink, script, style, nav, pre, table.dataframe, .cell_input, .cell_output, .toy, .checked, button, summary, .sd-tab-label";

  Search.htmlToText = (html, anchor) => {
    const article = new DOMParser().parseFromString(html, "text/html").querySelector("article");
    if (!article) return "";
    let place = anchor ? article.querySelector(anchor) : article;
    if (place?.matches("div.math, span[id]")) place = place.previousElementSibling ?? place.parentElement; // the words before a formula
    if (place?.matches("dt")) place = place.nextElementSibling; // what a term means
    if (!place) place = article;
    place.querySelectorAll(NOT_TEXT).forEach(e => e.remove());
    place.querySelectorAll("div.math").forEach(e => (e.textContent = " … "));
    place.querySelectorAll("span.math").forEach(e => (e.textContent = words(e.textContent)));
    if (place === article) place.querySelector("h1")?.remove();
    return place.textContent.replace(/\s+/g, " ").trim();
  };

  // The excerpt begins where the words stand together, or else where the first of them is.
  Search.makeSearchSummary = (html, keywords, anchor) => {
    const text = Search.htmlToText(html, anchor), lower = text.toLowerCase();
    if (!text) return null;
    const near = [...keywords].join("\\S*\\W+(?:\\S+\\W+){0,2}?");
    const together = keywords.size > 1 ? lower.search(new RegExp(near)) : -1;
    const places = [...keywords].map(word => lower.indexOf(word)).filter(at => at >= 0);
    const found = together >= 0 ? together : Math.min(...places, lower.length);
    const from = found < lower.length ? Math.max(text.lastIndexOf(". ", found) + 1, found - 120, 0) : 0;
    const start = from ? text.indexOf(" ", from) + 1 : 0;
    const end = start + 240 < text.length ? text.lastIndexOf(" ", start + 240) : text.length;
    const summary = document.createElement("p");
    summary.className = "context";
    summary.textContent = (start ? "… " : "") + text.slice(start, end) + (end < text.length ? " …" : "");
    return summary;
  };
})();
