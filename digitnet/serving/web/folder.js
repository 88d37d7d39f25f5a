// The files that the user dropped or chose, with the files inside of folders.

const PICTURE = /\.(jpe?g|jpe|png|webp|bmp|gif|tiff?)$/i;

/** Files as [{name, file}]; of a folder only the pictures. Call it while the drop event is handled. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ name: file.name, file }));
  return (await Promise.all(entries.map((entry) => filesOf(entry, true)))).flat();
}

export function chosenFiles(input) {
  const files = [...input.files].map((file) => ({ name: file.webkitRelativePath || file.name, file }));
  return input.webkitdirectory ? files.filter(({ name }) => PICTURE.test(name)).sort(byName) : files;
}

const byName = (one, other) => one.name.localeCompare(other.name);

async function filesOf(entry, asked) {
  if (entry.isFile) {
    if (!asked && !PICTURE.test(entry.name)) return [];
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ name: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
    if (!some.length) break;
    for (const inside of some) found.push(...(await filesOf(inside, false)));
  }
  return found.sort(byName);
}
