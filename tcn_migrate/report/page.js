"use strict";
(() => {
  // Every command can be copied with one press.
  for (const code of document.querySelectorAll("dl.commands code, code.copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copier";
    button.textContent = "Copy";
    button.addEventListener("click", () => {
      const range = document.createRange();
      range.selectNodeContents(code);
      const selection = window.getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      let copied = false;
      try {
        copied = document.execCommand("copy");
      } catch {
        copied = false;
      }
      button.textContent = copied ? "Copied" : "Selected; press Ctrl+C";
    });
    code.after(button);
  }
  let rows = [...document.querySelectorAll("#table tbody tr")];
  const table = document.getElementById("table");
  const more = document.getElementById("more");
  const step = Number(table?.dataset.most) || Infinity;
  let most = step;
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  if (!search) return;
  const boxes = [...document.querySelectorAll("[data-select]")];
  const grades = [...document.querySelectorAll("button[data-grade]")];
  const chosen = (items) => items.find((item) => item.getAttribute("aria-pressed") === "true");
  const show = () => {
    const box = chosen(boxes)?.dataset.select;
    const grade = chosen(grades)?.dataset.grade;
    const words = search.value.toLowerCase();
    let count = 0;
    for (const row of rows) {
      const address = row.dataset.address;
      const fits = (
        (box === undefined || address === box || address.startsWith(box + " / ")) &&
        (grade === undefined || row.dataset.grade === grade) &&
        row.textContent.toLowerCase().includes(words)
      );
      if (fits) count += 1;
      row.hidden = !fits || count > most;
    }
    if (more) more.hidden = count <= most;
    const found = `${count} of ${rows.length}${box === undefined ? "" : `, in ${box}`}`;
    shown.textContent = count > most ? `the first ${most}; ${found} fit` : found;
  };
  const toggle = (items, item) => {
    const was = item.getAttribute("aria-pressed") === "true";
    for (const other of items) other.setAttribute("aria-pressed", "false");
    item.setAttribute("aria-pressed", String(!was));
    show();
  };
  for (const box of boxes) {
    box.setAttribute("role", "button");
    box.setAttribute("tabindex", "0");
    box.setAttribute("aria-pressed", "false");
    box.addEventListener("click", () => toggle(boxes, box));
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        toggle(boxes, box);
      }
    });
  }
  for (const button of grades) button.addEventListener("click", () => toggle(grades, button));
  search.addEventListener("input", show);
  more?.addEventListener("click", () => {
    most += step;
    show();
  });
  // A press on a column's head sorts by it, and one more turns the order round.
  for (const head of document.querySelectorAll("#table th.sort")) {
    const column = [...head.parentNode.children].indexOf(head);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of document.querySelectorAll("#table th.sort")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = rows.map((row) => [row.children[column].textContent, row]);
      keyed.sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0) * (down ? -1 : 1));
      rows = keyed.map(([, row]) => row);
      rows[0]?.parentNode.append(...rows);
      show();
    });
  }
  document.getElementById("all").addEventListener("click", () => {
    for (const item of [...boxes, ...grades]) item.setAttribute("aria-pressed", "false");
    search.value = "";
    show();
  });
  show();
})();
