"use strict";
(() => {
  const status = document.getElementById("status");

  const orderOf = (row, at) => {
    const cell = row.cells[at];
    const text = cell.dataset.order ?? cell.textContent.trim();
    if (text === "-" || text === "") return null;
    const number = Number(text);
    return Number.isNaN(number) ? text.toLowerCase() : number;
  };

  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  const sort = (header) => {
    const table = header.closest("table");
    const body = table.tBodies[0];
    const at = header.cellIndex;
    const now = header.getAttribute("aria-sort");
    const first = header.classList.contains("number") ? "descending" : "ascending";
    const second = first === "descending" ? "ascending" : "descending";
    const next = now === first ? second : first;
    const sign = next === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row) => [orderOf(row, at), row]);
    // Rows without a value stay last in both directions.
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * compare(a, b);
    });
    body.append(...rows.map(([, row]) => row));
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", next);
    status.textContent = `Sorted by ${header.textContent.trim()}, ${next}.`;
  };

  for (const button of document.querySelectorAll("thead button")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }

  for (const field of document.querySelectorAll("[data-filter]")) {
    const input = field.querySelector("input");
    const output = field.querySelector("output");
    const rows = [...document.getElementById(field.dataset.filter).tBodies[0].rows];
    field.hidden = false;
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
        shown += row.hidden ? 0 : 1;
      }
      output.textContent = wanted ? `${shown} of ${rows.length} rows` : "";
    });
  }

  // Whatever is cut off at the right says so, and how many columns there are.
  const cut = [...document.querySelectorAll(".scroll")].map((part) => {
    const hint = document.createElement("button");
    hint.type = "button";
    hint.className = "hint";
    hint.hidden = true;
    part.after(hint);
    hint.addEventListener("click", () => part.scrollBy({ left: 0.8 * part.clientWidth, behavior: "smooth" }));
    return [part, hint];
  });
  const look = ([part, hint]) => {
    const end = part.getBoundingClientRect().right;
    const more = part.scrollWidth - part.clientWidth - part.scrollLeft > 2;
    part.classList.toggle("more-right", more);
    hint.hidden = !more;
    if (!more) return;
    const headers = [...part.querySelectorAll("thead th")];
    const names = headers.filter((h) => h.getBoundingClientRect().right > end + 2).map((h) => h.textContent.trim());
    const columns = names.length === 1 ? "1 more column" : `${names.length} more columns`;
    hint.textContent = names.length ? `${columns}: ${names.slice(0, 3).join(", ")}${names.length > 3 ? ", \u2026" : ""} \u2192` : "more to the right \u2192";
  };
  for (const pair of cut) pair[0].addEventListener("scroll", () => look(pair), { passive: true });
  const lookAtAll = () => cut.forEach(look);
  window.addEventListener("resize", lookAtAll);
  document.addEventListener("toggle", lookAtAll, true);
  lookAtAll();

  // A link into a closed part opens it.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let part = target; part; part = part.parentElement) {
      if (part.tagName === "DETAILS") part.open = true;
    }
    target.scrollIntoView();
  };
  window.addEventListener("hashchange", reveal);
  if (location.hash) reveal();

  // Paper has no buttons: print everything.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const part of closed) part.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const part of closed) part.open = false;
  });
})();
