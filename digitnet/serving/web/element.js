// Elements of the page. Text from files and from the server only ever becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function makeSvg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Shows `text` in `element`, or hides it where there is none. */
export function tell(element, text) {
  element.hidden = !text;
  element.textContent = text ?? "";
}

/** Says `text` to those who hear the page. */
export function announce(text) {
  find("status").textContent = text;
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}
