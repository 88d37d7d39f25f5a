// What the user wants of each reading: how careful it is, and what is known of the numbers.

import { find } from "/web/element.js";

const FIELDS = ["careful", "length", "pattern", "check"];
const field = (name) => find(`settings-${name}`);
const values = () => FIELDS.map((name) => field(name).value.trim());

let before = "";

/** The parameters for reading one digit. */
export function caution() {
  const careful = field("careful").value;
  return careful === "always" ? { always: true } : { max_error: careful || null };
}

/** What is known of each number: `length`, `pattern` and `check`, where the user gave them. */
export function constraints() {
  return Object.fromEntries(FIELDS.slice(1).map((name) => [name, field(name).value.trim() || null]));
}

export const hasConstraints = () => Object.values(constraints()).some(Boolean);

/** Calls `changed` each time the user has changed a setting and closed the dialog. */
export function onSettings(changed) {
  find("settings").addEventListener("close", () => {
    if (values().join("\n") !== before) changed();
  });
}

find("settings-open").addEventListener("click", () => {
  before = values().join("\n");
  find("settings").showModal();
});
find("settings-close").addEventListener("click", () => find("settings").close());
find("settings-reset").addEventListener("click", () => find("settings-form").reset());
find("settings-form").addEventListener("submit", (event) => {
  event.preventDefault();
  find("settings").close();
});
find("settings").addEventListener("close", () => {
  find("settings-open").classList.toggle("active", values().some(Boolean));
});
