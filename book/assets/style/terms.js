// A term of the glossary shows its definition while the pointer or the keyboard is on it; Escape hides it.
(() => {
  let glossary;
  const tip = document.createElement("div");
  tip.id = tip.className = "term-tip";
  tip.role = "tooltip";
  tip.hidden = true;

  const read = async url => new DOMParser().parseFromString(await (await fetch(url)).text(), "text/html");
  let current;
  const hide = () => {
    current?.removeAttribute("aria-describedby");
    current = null;
    tip.hidden = true;
  };
  const show = async link => {
    current = link;
    glossary ??= read(link.href.split("#")[0]);
    let found = (await glossary).getElementById(link.hash.slice(1));
    while (found && found.tagName !== "DD") found = found.nextElementSibling;
    if (!found || current !== link) return;
    tip.innerHTML = found.innerHTML;
    tip.querySelectorAll("[id]").forEach(e => e.removeAttribute("id"));
    link.setAttribute("aria-describedby", tip.id);
    tip.hidden = false;
    await window.MathJax?.typesetPromise?.([tip]);
    const at = link.getBoundingClientRect();
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = Math.max(8, Math.min(at.left, room)) + "px";
    const above = at.bottom + tip.offsetHeight + 8 > innerHeight;
    tip.style.top = (above ? at.top - tip.offsetHeight - 4 : at.bottom + 4) + "px";
  };

  document.body.append(tip);
  document.querySelectorAll("main a[href*='#term-']").forEach(link => {
    for (const on of ["mouseenter", "focus"]) link.addEventListener(on, () => show(link).catch(hide));
    for (const off of ["mouseleave", "blur"]) link.addEventListener(off, hide);
  });
  addEventListener("keydown", event => event.key === "Escape" && hide());
  addEventListener("scroll", hide, { passive: true, capture: true });
})();
