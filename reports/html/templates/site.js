"use strict";
(() => {
  const form = document.querySelector("form.choices");
  if (!form) return;
  const selects = [...form.querySelectorAll("select")];
  const output = form.querySelector("output");
  const boards = [...document.querySelectorAll("section.board")];

  const columnOf = (table, title) =>
    [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.trim() === title);

  const show = () => {
    const wanted = selects.filter((select) => select.value);
    let boardsShown = 0;
    let rowsShown = 0;
    for (const board of boards) {
      let fits = true;
      const ofRows = [];
      for (const select of wanted) {
        const kind = select.dataset.kind;
        if (kind in board.dataset) fits &&= board.dataset[kind] === select.value;
        else ofRows.push([kind, select.value]);
      }
      const table = board.querySelector("table");
      const places = ofRows.map(([kind, value]) => [columnOf(table, kind), value]);
      let rows = 0;
      for (const row of table.tBodies[0].rows) {
        const stays = places.every(([at, value]) => row.cells[at].textContent.trim() === value.trim());
        row.classList.toggle("put-away", !stays);
        rows += stays ? 1 : 0;
      }
      board.hidden = !fits || rows === 0;
      boardsShown += board.hidden ? 0 : 1;
      rowsShown += board.hidden ? 0 : rows;
    }
    output.textContent = wanted.length
      ? `${boardsShown} of ${boards.length} boards, ${rowsShown} ${rowsShown === 1 ? "row" : "rows"}`
      : "";
  };

  form.hidden = false;
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
})();
