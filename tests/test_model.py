import torch

from digitnet.model import DigitNet


def test_images_become_ten_logits():
    assert DigitNet()(torch.rand(3, 1, 28, 28)).shape == (3, 10)


def test_it_is_small():
    assert sum(parameter.numel() for parameter in DigitNet().parameters()) < 100_000


def test_every_weight_takes_part_in_the_answer():
    model = DigitNet()
    model(torch.rand(8, 1, 28, 28)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_in_evaluation_an_image_is_read_the_same_in_any_company():
    model = DigitNet().eval()
    images = torch.rand(5, 1, 28, 28)
    assert torch.allclose(model(images)[:1], model(images[:1]), atol=1e-5)
