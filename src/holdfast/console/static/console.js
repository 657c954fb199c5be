"use strict";
// Comfort only: every page reads and every form sends without this file.

const all = (selector) => [...document.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);
const kept = {
  read(name) { try { return localStorage.getItem(`holdfast.${name}`); } catch { return null; } },
  write(name, value) { try { localStorage.setItem(`holdfast.${name}`, value); } catch { /* private */ } },
};

// One clock for the page. It rests while nobody looks, while a person says so, and where nothing is live.
const pace = one("#pace");
let before = Date.now();
const tick = () => { before = Date.now(); document.body.dispatchEvent(new Event("tick")); };
const seconds = () => (pace ? Number(pace.value) : 0);
if (pace) {
  const chosen = kept.read("pace");
  if (chosen !== null && [...pace.options].some((option) => option.value === chosen)) pace.value = chosen;
  pace.addEventListener("change", () => kept.write("pace", pace.value));
  setInterval(() => {
    if (seconds() && !document.hidden && Date.now() - before >= seconds() * 1000) tick();
  }, 250);
  document.addEventListener("visibilitychange", () => { if (seconds() && !document.hidden) tick(); });
  const lost = (is) => { one("#lost").hidden = !is; };
  document.body.addEventListener("htmx:error", () => lost(true));
  document.body.addEventListener("htmx:after:request", (event) => {
    const status = event.detail?.ctx?.response?.status ?? event.detail?.ctx?.response?.raw?.status;
    if (status) lost(status >= 500);
  });
}

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
if (["light", "dark"].includes(kept.read("theme"))) root.style.colorScheme = kept.read("theme");
const flip = () => {
  const isDark = root.style.colorScheme ? root.style.colorScheme === "dark" : dark.matches;
  root.style.colorScheme = isDark ? "light" : "dark";
  kept.write("theme", root.style.colorScheme);
  document.dispatchEvent(new Event("theme"));
};
dark.addEventListener("change", () => document.dispatchEvent(new Event("theme")));

const copy = async (text, button) => {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  } catch {
    button.textContent = "press Ctrl+C";
    const target = document.getElementById(button.dataset.copy);
    if (target) getSelection().selectAllChildren(target);
  }
};
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.id === "theme") flip();
  else if (button?.id === "help") one("#keys").showModal();
  else if (button?.dataset.copy) copy(document.getElementById(button.dataset.copy)?.textContent ?? "", button);
});

// Keys: none of them does anything to an effect or a workflow.
const step = (by) => {
  const rows = all("tbody th a");
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(Math.max(at + by, 0), rows.length - 1)]?.focus();
};
const stop = () => { if (pace) { pace.value = seconds() ? "0" : "2"; kept.write("pace", pace.value); } };
const keys = new Map([
  ["?", () => one("#keys").showModal()],
  ["/", () => one("input[type=search]")?.focus()],
  ["j", () => step(1)],
  ["k", () => step(-1)],
  ["r", tick],
  ["p", stop],
  ["t", flip],
]);
let isGoing = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea, dialog")) return;
  if (isGoing) {
    isGoing = false;
    all("nav [data-key]").find((link) => link.dataset.key === event.key)?.click();
  } else if (event.key === "g") {
    isGoing = true;
    setTimeout(() => { isGoing = false; }, 1500);
  } else if (keys.has(event.key)) {
    event.preventDefault();
    keys.get(event.key)();
  }
});
