// Makes elements of the page. Text from files and from the server always stays text and never becomes markup.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function makeSvg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Shows `text` in `element`, or hides the element if there is no text. */
export function tell(element, text) {
  element.hidden = !text;
  element.textContent = text ?? "";
}

/** Makes screen readers say `text`. */
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
