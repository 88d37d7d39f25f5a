// The page: its tabs, dropped and pasted files, and the text about privacy.

import { about } from "/web/api.js";
import { readAll } from "/web/batch.js";
import { offerCamera } from "/web/camera.js";
import { keepCorrections } from "/web/correction.js";
import { showCorrections } from "/web/corrections.js";
import "/web/draw.js";
import { find } from "/web/element.js";
import { chosenFiles, droppedFiles } from "/web/folder.js";
import { showPicture } from "/web/picture.js";
import "/web/settings.js";
import { takeToken } from "/web/token.js";

const TABS = ["draw", "picture", "batch"]; // and "corrections", if the server keeps them

let limits = { bytes: Infinity };

/** Opens a tab and puts it into the address, so that Back goes back to the last one. */
function open(name) {
  if (find(name).hidden) history.pushState(null, "", `#${name}`);
  show(name);
}

function show(name) {
  const isShown = !find(name).hidden;
  for (const tab of TABS) {
    const button = find(`tab-${tab}`);
    button.setAttribute("aria-selected", tab === name);
    button.tabIndex = tab === name ? 0 : -1;
    find(tab).hidden = tab !== name;
  }
  if (name === "corrections" && !isShown) showCorrections();
}

/** Opens the tab that the address says; an address with a token loses it. */
function followAddress() {
  takeToken();
  const name = location.hash.slice(1);
  show(TABS.includes(name) ? name : TABS[0]);
}

function openPicture(file) {
  open("picture");
  return showPicture(file, limits.bytes, openPicture);
}

function openBatch(files) {
  open("batch");
  return readAll(files, limits.bytes, openPicture);
}

function addTab(name) {
  const button = find(`tab-${name}`);
  button.addEventListener("click", () => open(name));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = TABS.at((TABS.indexOf(name) + step) % TABS.length);
    open(next);
    find(`tab-${next}`).focus();
  });
}
TABS.forEach(addTab);

for (const input of document.querySelectorAll("#picture input[type=file]")) {
  input.addEventListener("change", () => {
    if (input.files.length) openPicture(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
}
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", async () => {
    const { example } = button.dataset;
    const content = await (await fetch(`/web/${example}`)).blob();
    openPicture(new File([content], example, { type: content.type }));
  });
}
for (const input of document.querySelectorAll("#batch input[type=file]")) {
  input.addEventListener("change", () => {
    const files = chosenFiles(input);
    input.value = "";
    openBatch(files);
  });
}

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
document.addEventListener("drop", async (event) => {
  document.body.classList.remove("over");
  if (!hasFiles(event)) return;
  event.preventDefault();
  const isBatch = !find("batch").hidden;
  const isFolder = [...event.dataTransfer.items].some((item) => item.webkitGetAsEntry?.()?.isDirectory);
  const files = await droppedFiles(event.dataTransfer);
  if (isBatch || isFolder || files.length > 1) openBatch(files);
  else if (files.length) openPicture(files[0].file);
});
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  if (files.length > 1) openBatch(files.map((file) => ({ name: file.name, file })));
  else openPicture(files[0]);
});

function showPrivacy(corrections) {
  // The page cannot know where the server runs: a tunnel makes a distant server look like one on this machine.
  const where = `Your drawings and pictures go only to the DigitNet server at ${location.host}, and to nobody else.`;
  const kept = corrections ? "The server keeps only the digits that you correct." : "The server keeps nothing.";
  find("privacy").textContent = `${where} ${kept}`;
}

async function start() {
  followAddress();
  addEventListener("hashchange", followAddress);
  showPrivacy(false);
  offerCamera(openPicture);
  try {
    const told = await about();
    limits = told.limits;
    keepCorrections(told.corrections);
    if (told.corrections) {
      TABS.push("corrections");
      addTab("corrections");
      find("tab-corrections").hidden = false;
      followAddress();
    }
    showPrivacy(told.corrections);
    find("about").textContent = `DigitNet ${told.version}`;
  } catch (problem) {
    find("about").textContent = problem.message;
  }
}

start();
