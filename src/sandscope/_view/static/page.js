import { keys } from "./keys.js";
import { live, toggleLive } from "./live.js";
import { allTime, moveTime, zoom } from "./zoom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

function toggleTheme() {
  const root = document.documentElement;
  const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* for this page only */ }
}

function showKeys() {
  document.getElementById("keys").showModal();
}

document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
document.getElementById("theme").addEventListener("click", toggleTheme);
document.getElementById("help").addEventListener("click", showKeys);
document.getElementById("live").addEventListener("click", toggleLive);
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});
document.addEventListener("submit", (event) => { // an address without what is empty
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
});
addEventListener("pageshow", () => { // the browser's way back
  for (const field of document.querySelectorAll("form :disabled")) field.disabled = false;
});
document.addEventListener("click", (event) => { // a row is a link, but its text can be selected
  const row = event.target.closest("tr.row");
  if (!row || event.target.closest("a") || String(getSelection())) return;
  row.querySelector(".row-link")?.click();
});
keys({
  t: toggleTheme, p: toggleLive, "?": showKeys,
  "+": () => moveTime(0.25, 0.75), "-": () => moveTime(-0.5, 1.5), 0: allTime,
  ArrowLeft: () => moveTime(-0.5, 0.5), ArrowRight: () => moveTime(0.5, 1.5),
});
zoom();
live();
