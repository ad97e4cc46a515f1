// j, k and Enter move through rows; g and a letter go to a page; / searches.
let prefix = "";

const rows = () => [...document.querySelectorAll(".row")];
const marked = () => document.querySelector(".row.marked") ?? document.querySelector(".row.chosen");

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(marked());
  const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
  for (const row of all) row.classList.toggle("marked", row === next);
  next.scrollIntoView({ block: "nearest" });
}

function open() {
  const row = marked();
  (row?.matches("a") ? row : row?.querySelector(".row-link"))?.click();
}

function search() {
  const field = document.getElementById("search");
  if (field) field.select();
  else location.assign("/executions#search");
}

function go(key) {
  const link = [...document.querySelectorAll("nav [data-key]")].find((each) => each.dataset.key === key);
  link?.click();
}

export function keys(more) {
  const actions = { j: () => move(1), k: () => move(-1), Enter: open, "/": search, ...more };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input, select, textarea, dialog")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "Enter" && event.target.closest("a, button")) return;
    const action = prefix === "g" ? () => go(event.key) : actions[event.key];
    prefix = prefix === "" && event.key === "g" ? "g" : "";
    if (prefix === "g" || !action) return;
    event.preventDefault();
    action();
  });
  if (location.hash === "#search") search();
}
