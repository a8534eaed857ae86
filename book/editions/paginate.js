/* Before it is printed, see where a chapter would leave much of a page blank, and mend it.
 *
 * A browser breaks the columns of a page by the rules by which it breaks the pages of a print, so a chapter is
 * laid out in columns that are as large as the paper's text (print.css, html.columns). Where an upright figure
 * does not fit below what stands before it, it shrinks a little, or text that follows it comes first.
 */
"use strict";

const BLANK = 0.35; // the share of a page's height that may stay empty inside a chapter
const WHOLE = 0.25; // what is lower than this share is not broken
const SMALLEST = 0.85; // of its size, if text that follows can fill the page instead
const SMALLEST_AT_ALL = 0.55;
const BOXES = ".admonition, table, pre, .cell_output, dl, ul, ol, blockquote";
const INK = "p, li, pre, td, th, dt, img, svg, h1, h2, h3, h4, mjx-container, .admonition-title";

/** Return an element's boxes, one for each column that it reaches into. */
function boxes(element, article) {
  const { left, top } = article.getBoundingClientRect();
  return [...element.getClientRects()]
    .filter((box) => box.height > 1 && box.width > 1)
    .map((box) => ({
      column: Math.floor((box.left - left + 2) / article.clientWidth),
      top: box.top - top,
      bottom: box.bottom - top,
    }));
}

/** Return how far down each column is filled. */
function filled(article) {
  const bottoms = [];
  for (const element of article.querySelectorAll(INK))
    for (const { column, bottom } of boxes(element, article))
      bottoms[column] = Math.max(bottoms[column] ?? 0, bottom);
  return Array.from(bottoms, (bottom) => bottom ?? 0);
}

/** Let the block that follows a figure come before it; return whether there is one. */
function postpone(figure) {
  let block = figure.closest(".cell_output") ?? figure;
  const cell = block.parentElement.closest(".cell");
  if (cell) {
    cell.after(block); // its own code may stay where it is
    if (!cell.textContent.trim()) cell.remove();
  }
  let next = block.nextElementSibling;
  if (!next && block.parentElement.tagName === "SECTION") next = block.parentElement.nextElementSibling;
  while (next?.tagName === "SECTION")
    next = [...next.children].find((child) => !/^(H\d|SPAN)$/.test(child.tagName));
  if (!next) return false;
  next.after(block);
  return true;
}

/** Mend the first page that is too empty, of those after some column; return which it was, or null. */
function mend(article, after) {
  const height = article.clientHeight;
  const bottoms = filled(article);
  const column = bottoms.findIndex(
    (bottom, i) => i >= after && i < bottoms.length - 1 && 1 - bottom / height > BLANK,
  );
  if (column < 0) return null;
  const starting = (selector) =>
    [...article.querySelectorAll(selector)]
      .map((element) => ({ element, box: boxes(element, article)[0] }))
      .filter(({ box }) => box?.column === column + 1)
      .sort((a, b) => a.box.top - b.box.top)[0];
  const first = starting("figure:has(img, svg), img");
  if (first && first.box.top < 0.3 * height) {
    const image = first.element.matches("img") ? first.element : first.element.querySelector("img, svg");
    const own = image.getBoundingClientRect().height;
    const room = own - (first.box.bottom - (height - bottoms[column])) - 24; // pixels
    const shrink = (least) => {
      if (room < least * own || image.style.maxHeight) return false;
      image.style.maxHeight = `${room}px`;
      return true;
    };
    if (shrink(SMALLEST) || postpone(first.element) || shrink(SMALLEST_AT_ALL)) return column;
  }
  const box = starting(".whole");
  box?.element.classList.remove("whole");
  return box ? column : column + 1;
}

/** Mend every chapter; return how many changes that took. */
function paginate() {
  document.documentElement.classList.add("columns");
  let changes = 0;
  for (const article of document.querySelectorAll("article.bd-article")) {
    const low = [...article.querySelectorAll(BOXES)].filter((element) => {
      const heights = boxes(element, article).map(({ top, bottom }) => bottom - top);
      return heights.reduce((sum, height) => sum + height, 0) < WHOLE * article.clientHeight;
    });
    for (const element of low) element.classList.add("whole");
    let column = 0;
    for (let tries = 0; tries < 300 && column !== null; tries++, changes++) column = mend(article, column);
  }
  document.documentElement.classList.remove("columns");
  return changes;
}
