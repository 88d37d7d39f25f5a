// Grey pixels as a BMP file. It is ready at once; a PNG takes a browser many milliseconds.

const HEADER = 54; // bytes
const PALETTE = 4 * 256;

/** A BMP file of an ImageData with grey pixels. */
export function bitmap({ data, width, height }) {
  const row = 4 * Math.ceil(width / 4);
  const bytes = new Uint8Array(HEADER + PALETTE + row * height);
  const header = new DataView(bytes.buffer);
  bytes.set([0x42, 0x4d]); // "BM"
  header.setUint32(2, bytes.length, true);
  header.setUint32(10, HEADER + PALETTE, true);
  header.setUint32(14, HEADER - 14, true);
  header.setInt32(18, width, true);
  header.setInt32(22, -height, true); // the first row is the top one
  header.setUint16(26, 1, true);
  header.setUint16(28, 8, true); // bits a pixel
  for (let grey = 0; grey < 256; grey++) bytes.fill(grey, HEADER + 4 * grey, HEADER + 4 * grey + 3);
  for (let y = 0; y < height; y++) {
    const start = HEADER + PALETTE + y * row;
    for (let x = 0; x < width; x++) bytes[start + x] = data[4 * (y * width + x)];
  }
  return new Blob([bytes], { type: "image/bmp" });
}
