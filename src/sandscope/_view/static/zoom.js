// The time of a page: drag over a picture, or +, -, the arrows and 0. It becomes the address, so that the way back works.
const FEWEST = 6; // pixels: less is a click
const SHORTEST = 1000; // microseconds
let drag = null;

const iso = (microseconds) =>
  new Date(Math.floor(microseconds / 1000)).toISOString().slice(0, -1) + String(microseconds % 1000).padStart(3, "0");

function show(range) {
  const address = new URL(location.href);
  for (const name of ["range", "page", "since", "until"]) address.searchParams.delete(name);
  if (range) {
    address.searchParams.set("since", iso(Math.max(0, Math.floor(range[0]))));
    address.searchParams.set("until", iso(Math.ceil(Math.max(range[1], range[0] + SHORTEST))));
  }
  location.assign(address);
}

function shown() {
  const chart = document.querySelector(".chart[data-first]");
  return chart && [Number(chart.dataset.first), Number(chart.dataset.last) + 1];
}

export function moveTime(from, to) { // in parts of the range that is shown
  const range = shown();
  if (!range) return;
  const length = range[1] - range[0];
  show([range[0] + from * length, range[0] + to * length]);
}

export function allTime() {
  if (/[?&](range|since|until)=/.test(location.search)) show(null);
}

function share(event) {
  const box = drag.area.getBoundingClientRect();
  return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
}

function draw(event) {
  if (!drag.mark) {
    if (Math.abs(event.clientX - drag.x) < FEWEST) return;
    drag.mark = document.createElement("div");
    drag.mark.className = "selecting";
    drag.area.append(drag.mark);
    drag.area.setPointerCapture(event.pointerId);
  }
  drag.to = share(event);
  drag.mark.style.left = `${100 * Math.min(drag.from, drag.to)}%`;
  drag.mark.style.width = `${100 * Math.abs(drag.to - drag.from)}%`;
}

function end(chosen) {
  const { mark, from, to, area } = drag;
  drag = null;
  if (!mark) return;
  mark.remove();
  addEventListener("click", (event) => { event.preventDefault(); event.stopPropagation(); }, { capture: true, once: true });
  if (!chosen || from === to) return;
  const { first, last } = area.closest(".chart").dataset;
  const length = Number(last) + 1 - Number(first);
  show([Math.min(from, to), Math.max(from, to)].map((each) => Number(first) + each * length));
}

export function zoom() {
  document.addEventListener("dragstart", (event) => { if (event.target.closest(".area")) event.preventDefault(); });
  document.addEventListener("pointerdown", (event) => {
    const area = event.target.closest(".chart[data-first] .area");
    if (!area || event.button !== 0) return;
    drag = { area, x: event.clientX };
    drag.from = share(event);
  });
  document.addEventListener("pointermove", (event) => { if (drag) draw(event); });
  document.addEventListener("pointerup", () => { if (drag) end(true); });
  document.addEventListener("pointercancel", () => { if (drag) end(false); });
  document.addEventListener("keydown", (event) => { if (drag && event.key === "Escape") end(false); });
}
