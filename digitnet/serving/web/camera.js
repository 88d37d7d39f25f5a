// Photos from the camera: in a dialog, or on a phone with its own camera app.

import { find, tell } from "/web/element.js";

const QUALITY = 0.92; // of the JPEG

let stream = null;

/** Shows the camera button that suits this device, and calls `take` with each photo. */
export async function offerCamera(take) {
  if (matchMedia("(pointer: coarse)").matches) {
    find("picture-capture").hidden = false;
    return;
  }
  // Browsers give no camera to a page that comes from another machine over plain HTTP.
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  find("picture-camera").hidden = !devices.some((device) => device.kind === "videoinput");
  find("picture-camera").addEventListener("click", open);
  find("camera-close").addEventListener("click", () => find("camera").close());
  find("camera-shoot").addEventListener("click", () => shoot(take));
  find("camera").addEventListener("close", stop);
}

async function open() {
  tell(find("camera-problem"), null);
  find("camera-shoot").disabled = true;
  find("camera").showModal();
  try {
    const video = { facingMode: "environment", width: { ideal: 1920 } };
    stream = await navigator.mediaDevices.getUserMedia({ video });
  } catch (error) {
    tell(find("camera-problem"), `The camera cannot be used: ${error.message}`);
    return;
  }
  if (!find("camera").open) return stop();
  find("camera-video").srcObject = stream;
  await find("camera-video").play();
  find("camera-shoot").disabled = false;
}

function shoot(take) {
  const video = find("camera-video");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((photo) => take(new File([photo], "photo.jpg", { type: photo.type })), "image/jpeg", QUALITY);
  find("camera").close();
}

function stop() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  find("camera-video").srcObject = null;
}
