"""The usual tutorial script for MNIST; time_to_accuracy.py compares main.py with it.

Most introductions are written like this: torchvision's MNIST, ToTensor and Normalize for one image at a time through a
DataLoader, batches of 64, two convolutions, dropout, Adadelta (learning rate 1, times 0.7 after each epoch), and a test
after each epoch. The script stops at the first epoch that reaches the accuracy given with --until.

    python benchmarks/plain_pytorch.py data --until 99.0
"""

import argparse
import time

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * 12 * 12, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="the folder that holds MNIST/raw")
    parser.add_argument("--until", type=float, default=99.0, help="stop at this test accuracy, in per cent")
    parser.add_argument("--max-epochs", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    train_set = datasets.MNIST(arguments.data, train=True, transform=transform)
    test_set = datasets.MNIST(arguments.data, train=False, transform=transform)
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=1000)

    model = network()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(1, arguments.max_epochs + 1):
        started = time.monotonic()
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            correct = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in test_loader)
        accuracy = 100 * correct / len(test_set)
        print(f"epoch {epoch}: test accuracy {accuracy:.2f} %, {time.monotonic() - started:.1f} s", flush=True)
        if accuracy >= arguments.until:
            break


if __name__ == "__main__":
    main()
