"use strict";
(() => {
  const rows = [...document.querySelectorAll("#table tbody tr")];
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
      row.hidden = !(
        (box === undefined || address === box || address.startsWith(box + " / ")) &&
        (grade === undefined || row.dataset.grade === grade) &&
        row.textContent.toLowerCase().includes(words)
      );
      if (!row.hidden) count += 1;
    }
    shown.textContent = `${count} of ${rows.length}${box === undefined ? "" : `, in ${box}`}`;
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
  document.getElementById("all").addEventListener("click", () => {
    for (const item of [...boxes, ...grades]) item.setAttribute("aria-pressed", "false");
    search.value = "";
    show();
  });
  show();
})();
