// The contents are replaced when the server has new ones, unless the reader is at work in them.
const INTERVAL = 2000; // milliseconds
const button = document.getElementById("live");

const running = () => button.getAttribute("aria-pressed") === "true";
const busy = () =>
  document.hidden || !running() || String(getSelection()) ||
  document.activeElement?.matches("input, select, textarea") || document.querySelector("dialog[open], .selecting");

export function toggleLive() {
  button.setAttribute("aria-pressed", String(!running()));
}

function show(text) {
  const next = new DOMParser().parseFromString(text, "text/html").getElementById("main");
  const main = document.getElementById("main");
  const marked = [...main.querySelectorAll(".row")].findIndex((row) => row.classList.contains("marked"));
  main.replaceChildren(...next.childNodes);
  main.dataset.version = next.dataset.version;
  main.querySelectorAll(".row")[marked]?.classList.add("marked");
}

async function refresh() {
  if (busy()) return;
  try {
    const tag = document.getElementById("main").dataset.version;
    const answer = await fetch(location.href, { headers: { "If-None-Match": tag }, cache: "no-store" });
    button.classList.toggle("away", !answer.ok && answer.status !== 304);
    if (answer.status !== 200) return;
    const text = await answer.text();
    if (!busy()) show(text);
  } catch {
    button.classList.add("away"); // the server has ended
  }
}

export function live() {
  setInterval(refresh, INTERVAL);
}
