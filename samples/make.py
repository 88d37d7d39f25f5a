"""Makes the pictures in this folder: MNIST test digits, one in each of the scenes of scenes.py.

python samples/make.py
"""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from scenes import SCENES, render

from digitnet import dataset

FOLDER = Path(__file__).parent
SEED = 11


def main() -> None:
    """Writes the pictures and labels.csv."""
    test_set = dataset.MNIST(dataset.find_mnist(), train=False)
    images = test_set.data.numpy().astype(np.float32) / np.float32(255)  # (10000, 28, 28)
    labels = test_set.targets.numpy()
    rng = np.random.default_rng(SEED)
    rows = []
    for number, (name, scene) in enumerate(SCENES.items()):
        label = number % 10
        digit = images[rng.choice(np.nonzero(labels == label)[0])]
        picture = Image.fromarray(render(digit, scene, rng))
        drawn = scene.noise == 0  # on a screen, not photographed
        path = FOLDER / f"{name}-{label}.{'png' if drawn else 'jpg'}"
        picture.save(path, **({"optimize": True} if drawn else {"quality": 85}))
        rows.append({"file": path.name, "label": label, "source": "MNIST test", "kind": name})
    with open(FOLDER / "labels.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
