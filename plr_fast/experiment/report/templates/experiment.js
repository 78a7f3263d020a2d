"use strict";
// Without this script the page is complete: tables in their own order, pictures side by side.
(() => {
  const status = document.querySelector("[role=status]");

  // Tables: a button in each head; first click best first, second the other way, third the order of the page.
  const compare = (a, b, sign) => {
    const x = a.dataset.value, y = b.dataset.value;
    if (x !== undefined && y !== undefined) return sign * (Number(x) - Number(y));
    const s = a.textContent.trim(), t = b.textContent.trim();
    const without = (value, text) => value === undefined && (text === "" || text[0] === "–");
    const lost = without(x, s) - without(y, t);
    return lost || sign * s.localeCompare(t, undefined, { numeric: true });
  };
  const sort = (table, column, sign) => {
    for (const body of table.tBodies) {
      const rows = body.originalRows;
      // The paper's figures are no comparison of like with like: they stay below, sorted among themselves.
      const below = (row) => row.classList.contains("paper") ? 1 : 0;
      const sorted = sign === 0 ? rows : [...rows].sort((a, b) =>
        below(a) - below(b) || compare(a.cells[column], b.cells[column], sign));
      body.append(...sorted);
    }
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const body of table.tBodies) body.originalRows = [...body.rows].filter((row) => !row.classList.contains("section"));
    if (![...table.tBodies].some((body) => body.originalRows.length > 1)) continue;
    const heads = [...table.tHead.querySelectorAll("th[data-column]")];
    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.setAttribute("aria-label", `${head.dataset.name}: sort`);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.dataset.first === "high" ? "descending" : "ascending";
        const second = first === "descending" ? "ascending" : "descending";
        const now = head.getAttribute("aria-sort");
        const next = now === first ? second : now === second ? null : first;
        for (const other of heads) other.removeAttribute("aria-sort");
        if (next) head.setAttribute("aria-sort", next);
        sort(table, Number(head.dataset.column), next === "ascending" ? 1 : next ? -1 : 0);
        if (status) status.textContent = next ? `Sorted by ${head.dataset.name}, ${next}.` : "In the original order.";
      });
    }
  }

  const paper = document.getElementById("show-paper");
  if (paper) {
    const apply = () => document.body.classList.toggle("without-paper", !paper.checked);
    paper.closest(".switch").hidden = false;
    paper.addEventListener("change", apply);
    apply();
  }

  // Pairs of pictures: one over the other, cut at the slider's place.
  for (const figure of document.querySelectorAll(".compare")) {
    const range = figure.querySelector("input");
    const pair = figure.querySelector(".pair");
    const move = () => {
      figure.style.setProperty("--at", `${range.value}%`);
      range.setAttribute("aria-valuetext",
        `${range.value} % ${range.dataset.before}, ${100 - range.value} % ${range.dataset.after}`);
    };
    const drag = (event) => {
      const box = pair.getBoundingClientRect();
      range.value = Math.round(100 * (event.clientX - box.left) / box.width);
      move();
    };
    pair.addEventListener("pointerdown", (event) => {
      pair.setPointerCapture(event.pointerId);
      drag(event);
    });
    pair.addEventListener("pointermove", (event) => {
      if (pair.hasPointerCapture(event.pointerId)) drag(event);
    });
    range.addEventListener("input", move);
    figure.classList.add("on");
    figure.querySelector(".slide").hidden = false;
    move();
  }

  // On paper nothing can be unfolded. All settings would be many pages, and lie beside the page.
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details:not(:has(pre))")) folded.open = true;
  });
})();
