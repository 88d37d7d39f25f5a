// The server's API: sends the token, shows the server's messages, and tries again if the server is busy.

import { caution, constraints } from "/web/settings.js";
import { askToken, token } from "/web/token.js";

const LONGEST_WAIT = 30; // seconds
const LONGEST_NAME = 255; // characters that the server takes

/** A request that the server refused, or that did not reach it; the message is for the user. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const about = () => request("/v1/about", { method: "GET" });
export const predict = (picture, options) => post("/v1/predict", { seen: true, ...caution() }, picture, options);
export const read = (picture, options) => readText(picture, options, { seen: true });

/** Reads without the 28x28 pictures. */
export const readText = (picture, options, own = {}) =>
  post("/v1/read", { name: named(options), ...caution(), ...constraints(), ...own }, picture, options);

/** Reads a part of a picture, of which nothing is known but that it holds a digit. */
export const readPart = (picture) => post("/v1/read", { seen: true, ...caution() }, picture);

/** Keeps `picture`, or the `box` [x, y, w, h] in it, as a `label`. */
export const correct = (picture, label, box) => post("/v1/corrections", { label, box: box?.join(",") }, picture);

export const corrections = () => request("/v1/corrections", { method: "GET" });

/** A correction that is kept in `file`, as the list of corrections has it. */
export const kept = (file) => ({ file, picture: `/v1/corrections/${encodeURIComponent(file)}` });

/** The picture of a correction, as a Blob: an image element could not send the token. */
export const pictureOf = (correction) => request(correction.picture, { method: "GET" }, { as: "blob" });

export const relabel = (correction, label) => request(`${correction.picture}?label=${label}`, { method: "PATCH" });
export const remove = (correction) => request(correction.picture, { method: "DELETE" });

const named = (options) => options?.name?.slice(-LONGEST_NAME);

function post(path, parameters, picture, { signal, patience } = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value != null));
  const headers = { "Content-Type": picture.type || "application/octet-stream" };
  return request(`${path}?${query}`, { method: "POST", headers, body: picture, signal }, { patience });
}

/** The answer, as JSON. After a 503 it tries again, `patience` times; after a 401 it asks the user for the token. */
async function request(path, options, { patience = 3, as = "json" } = {}) {
  for (let tried = 0; ; ) {
    const sent = token();
    const headers = { ...options.headers, ...(sent && { Authorization: `Bearer ${sent}` }) };
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "DigitNet does not answer. Check that digitnet serve is still running.");
    }
    if (response.ok) return response[as]();
    if (response.status === 401 && (await askToken(sent))) continue;
    if (response.status === 503 && tried++ < patience) {
      await wait(Number(response.headers.get("Retry-After")) || 1, options.signal);
      continue;
    }
    throw new Problem(response.status, await detail(response));
  }
}

async function detail(response) {
  const problem = await response.json().catch(() => ({}));
  return problem.detail || problem.title || `The server answered ${response.status}.`;
}

function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, 1000 * Math.min(seconds, LONGEST_WAIT));
    signal?.addEventListener("abort", stop);
  });
}
