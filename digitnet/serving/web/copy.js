// Copies text.

import { announce } from "/web/element.js";

/** Copies `text`; `button` says so. Where a page gets no clipboard, it selects the text in `element`. */
export async function copy(text, button, element) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers give no clipboard to a page that comes from another machine over plain HTTP.
    getSelection().selectAllChildren(element);
    announce("The digits are selected; copy them with Ctrl C");
    return;
  }
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => (button.textContent = "Copy"), 2000);
}
