"""Makes the pictures in this folder: numbers written with MNIST test digits, each on a different paper.

python sample_pages/write.py
"""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from digitnet.dataset import MNIST, find_mnist
from digitnet.synthesis.pages import PageMaker
from digitnet.synthesis.paper import PAPERS

FOLDER = Path(__file__).parent
PAGES = {  # file, text, paper, seed
    "phone.jpg": ("0171 4529\n030 886612", "ruled", 1),
    "sums.jpg": ("128\n4096\n57\n4281", "squared", 2),
    "amount.jpg": ("25750", "guilloche", 3),
    "card.jpg": ("4539 1488 0343 6467", "form", 4),
    "note.jpg": ("1905\n66 66", "crumpled", 5),
}


def main() -> None:
    """Writes the pictures and labels.csv."""
    mnist = MNIST(find_mnist(), train=False)
    no_negatives = np.zeros((0, 28, 28), np.uint8)
    rows = []
    for name, (text, paper, seed) in PAGES.items():
        maker = PageMaker(mnist.data.numpy(), mnist.targets.numpy(), no_negatives, {paper: PAPERS[paper]})
        page = maker.text(np.random.default_rng(seed), text)
        Image.fromarray(page.picture).save(FOLDER / name, quality=85)
        rows.append({"file": name, "text": text})
    with open(FOLDER / "labels.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
