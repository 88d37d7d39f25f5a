// The token of a server that asks for one: from the address bar or from the user; kept until the tab is closed.

import { find, tell } from "/web/element.js";

const KEY = "digitnet-token";
let asked = null; // one question at a time, even if many requests wait for the token

export const token = () => sessionStorage.getItem(KEY);

/** Removes `#token=...` from the address bar, where others could read it. */
export function takeToken() {
  const given = location.hash.match(/^#token=(.+)$/)?.[1];
  if (!given) return;
  sessionStorage.setItem(KEY, decoded(given));
  history.replaceState(null, "", location.pathname + location.search);
}

/** What the user typed after `#token=` may hold a "%" that is just one. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Whether to try again after a token was `refused`: there is a newer one, or the user gives one. */
export async function askToken(refused) {
  if (token() !== refused) return true;
  asked ??= ask(refused).finally(() => (asked = null));
  return asked;
}

function ask(refused) {
  const dialog = find("token");
  const value = find("token-value");
  value.value = "";
  tell(find("token-problem"), refused && "This is not the token of the server.");
  dialog.showModal();
  let given = false;
  return new Promise((resolve) => {
    find("token-close").onclick = () => dialog.close();
    find("token-form").onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, value.value.trim());
      given = true;
      dialog.close();
    };
    dialog.onclose = () => resolve(given);
  });
}
