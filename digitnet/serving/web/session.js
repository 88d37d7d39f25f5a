// What was drawn or read in this session: a list on the page, which is gone when the page is closed.

import { find, make } from "/web/element.js";

const MOST = 50;

let entries = []; // {key, name, text, time, open}, the newest first

/** Adds what was read; a reading with the same `key` replaces the earlier one. `open()` shows it again. */
export function remember(key, name, text, open) {
  const time = entries.find((entry) => entry.key === key)?.time ?? new Date();
  entries = [{ key, name, text, time, open }, ...entries.filter((entry) => entry.key !== key)].slice(0, MOST);
  find("session").hidden = false;
  find("session-count").textContent = entries.length;
  find("session-list").replaceChildren(...entries.map(item));
}

function item({ name, text, time, open }) {
  const label = make("span", { class: "quiet" }, `${name}, ${time.toLocaleTimeString()}`);
  return make("li", {}, make("button", { class: "link", onclick: open }, text || "no digits found"), " ", label);
}
