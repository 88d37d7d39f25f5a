// Files that the page makes and the browser saves.

import { make } from "/web/element.js";

export function download(name, content) {
  const address = URL.createObjectURL(new Blob([content]));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
