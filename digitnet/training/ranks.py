"""One training run on many processes, which torchrun starts: each is a *rank*, with a copy of the network.

Every rank takes its share of each batch. DistributedDataParallel averages the gradients, so that all ranks make the
same step. The loss is weighted such that this mean is the gradient of the whole batch, for any number of ranks. Batch
normalisation alone sees the rank's share only; its running statistics are those of rank 0.

`training.command` imports this file only where torchrun's environment variables are set.
"""

import contextlib
import io
import signal
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from digitnet.dataset import ShuffledBatches
from digitnet.errors import DigitNetError, LostRankError, ModelError, UsageError
from digitnet.interruption import Interruption, handled_by
from digitnet.loop.hardware import choose_device
from digitnet.training.recipe_run import RecipeRun

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

# How long a rank waits for the others. The longest wait that is no fault is for rank 0 while it evaluates and saves, or
# for a rank that writes its stroke digits at the start: a minute or two. A rank that ends is noticed at once.
TIMEOUT = timedelta(minutes=30)


class Ranks:
    """The ranks of a job, as one of them sees them.

    Attributes:
        rank: the number of this one; rank 0 alone reads and writes the files, evaluates and prints.
        count: how many there are, on all machines.
        local_rank: the number of this one on its machine.
    """

    def __init__(self, store: Any, rank: int, count: int, local_rank: int) -> None:
        self.rank = rank
        self.count = count
        self.local_rank = local_rank
        self._store = store
        self._gradients: Any = None  # on GPUs; None is the group of all messages, by gloo

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Waits at the end of the block for all ranks. If it raised a DigitNetError on one of them, it does on all.

        Rank 0 then raises this error, and the others, which have nothing to add, raise SystemExit.
        """
        failure = None
        try:
            yield
        except DigitNetError as error:
            failure = error
        failures: list[DigitNetError | None] = [None] * self.count
        distributed.all_gather_object(failures, failure)
        for rank, found in enumerate(failures):
            if found:
                raise self.shared(type(found)(f"rank {rank}: {found}") if rank else found)

    def shared(self, error: DigitNetError) -> BaseException:
        """What this rank has to raise for an error that all ranks have."""
        return error if self.is_first else SystemExit(error.exit_code)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set on any rank. Waits for all of them."""
        return self.sums(float(flag))[0] > 0

    def sums(self, *numbers: float) -> list[float]:
        """The sum over all ranks of each number."""
        total = torch.tensor(numbers, dtype=torch.float64)
        distributed.all_reduce(total)
        sums: list[float] = total.tolist()
        return sums

    def device(self, name: str | None) -> torch.device:
        """The device of this rank: a GPU of its own where there are GPUs, else the CPU.

        Raises UsageError where the device `name` is not available, or cannot be used by many ranks.
        """
        with self.together():
            device = self._own_device(name)
        with_gpu = self.sums(device.type == "cuda")[0]
        if 0 < with_gpu < self.count:
            raise self.shared(UsageError(f"only {with_gpu:.0f} of {self.count} ranks have a GPU; give --device cpu"))
        if with_gpu:
            torch.cuda.set_device(device)
            self._gradients = distributed.new_group(backend="nccl", timeout=TIMEOUT)
        return device

    def _own_device(self, name: str | None) -> torch.device:
        device = choose_device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        if device.type == "mps":
            raise UsageError("--device mps: its processes cannot share a run; give --device cpu")
        if device.type == "cpu":
            return device
        gpus = torch.cuda.device_count()
        if device.index is not None and self.count > 1:
            raise UsageError(f"--device {name}: each rank takes a GPU of its own; give --device cuda")
        if self.local_rank >= gpus:
            raise UsageError(f"only {gpus} GPUs for the ranks of a machine; give torchrun --nproc-per-node={gpus}")
        return torch.device("cuda", self.local_rank)

    def follow_first(self, run: RecipeRun) -> None:
        """Brings `run` to the state that it has on rank 0, so that only rank 0 needs the files.

        Raises ModelError where another rank was started with another recipe.
        """
        buffer = io.BytesIO()
        if self.is_first:
            torch.save(run.state_dict(), buffer)
        content = [buffer.getvalue()]
        distributed.broadcast_object_list(content)
        with self.together():
            if not self.is_first:
                state = torch.load(io.BytesIO(content[0]), map_location="cpu", weights_only=True)
                try:
                    if not run.can_follow(state):
                        raise ValueError("other --epochs or --rate")
                    run.load_state_dict(state)
                except (ValueError, RuntimeError) as error:
                    raise ModelError(f"started otherwise than rank 0 ({error}); give all ranks one command") from error

    def share(self, run: RecipeRun, interruption: Interruption) -> "SharedRun":
        return SharedRun(run, self, interruption)

    def wrapped(self, model: nn.Module, device: torch.device) -> DistributedDataParallel:
        """`model`, such that its backward pass leaves the mean of all ranks' gradients in it."""
        devices = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices, process_group=self._gradients)

    def is_first_to_tell(self) -> bool:
        """Whether no other rank has said yet why the job ends."""
        try:
            return bool(self._store.add("digitnet/told", 1) == 1)
        except RuntimeError:  # the machine that holds the store is gone
            return True


@contextlib.contextmanager
def joined(local_rank: int) -> Iterator[Ranks]:
    """Joins the other ranks of the job while the block runs. Their addresses come from torchrun's variables.

    Raises LostRankError where another rank ends or cannot be reached any more; where several ranks notice it, all but
    one raise SystemExit.
    """
    with handled_by(signal.SIG_DFL):  # Python cannot break off this wait, so a signal ends the process at once
        store, rank, count = next(rendezvous("env://", timeout=TIMEOUT))
        distributed.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=TIMEOUT)
    ranks = Ranks(store, rank, count, local_rank)
    try:
        yield ranks
    except DigitNetError:
        ranks.is_first_to_tell()  # the others will lose this rank; they need not say so
        raise
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise
        if not ranks.is_first_to_tell():
            raise SystemExit(LostRankError.exit_code) from error
        raise LostRankError(
            f"rank {rank} of {count}: another rank has ended or cannot be reached, so the job ends. The files of the "
            "last save are whole; start the same command again to go on"
        ) from error
    finally:
        distributed.destroy_process_group()


def _is_lost_connection(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or "gloo" in str(error)  # gloo has no error class of its own


class SharedRun:
    """A `RecipeRun` as the loop in train.py sees it on one of many ranks; it has the same state on all of them.

    The detector's pages are shared out before they are made, because making them takes the time. DigitNet's batches are
    shared out when they are prepared: each rank adds all negatives and augments all images, with the same random
    numbers. So the images of a step are the same for any number of ranks, and so is the state that resumes.

    Attributes:
        model: the network, wrapped; `average` and `optimizer` are those of the run.
        requested: whether a signal had reached any rank before the last step; all of them stop after the same batch.
    """

    def __init__(self, run: RecipeRun, ranks: Ranks, interruption: Interruption) -> None:
        self.run = run
        self.ranks = ranks
        self.interruption = interruption
        self.model = ranks.wrapped(run.model, torch.device(run.device))
        self.average, self.optimizer = run.average, run.optimizer
        self.requested = False
        self._share = slice(ranks.rank, None, ranks.count)  # every rank gets some of each kind of image
        self._mean_loss = torch.tensor(0.0)

    def __getattr__(self, name: str) -> Any:  # epoch, batch, device, mean loss
        return getattr(self.run, name)

    def batches(self, loader: "DataLoader[Any]") -> Iterator[tuple[Tensor, ...]]:
        """The batches of the present epoch that are still to come; of pages, this rank's share of them.

        Raises UsageError where a batch is too small to give each rank something.
        """
        sampler = loader.batch_sampler
        if not isinstance(sampler, ShuffledBatches):
            raise TypeError("only ShuffledBatches give all ranks the same batches")
        smallest = sampler.length % sampler.batch_size or sampler.batch_size
        if smallest < self.ranks.count:
            raise self.ranks.shared(
                UsageError(f"{self.ranks.count} ranks are too many for a batch of {smallest}; start fewer")
            )
        if self.run.recipe.makes_data:
            sampler.share = self._share
        yield from self.run.batches(loader)

    def prepare(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
        """This rank's share of what `RecipeRun.prepare` makes of the batch."""
        images, targets = self.run.prepare(batch)
        return (images, targets) if self.run.recipe.makes_data else (images[self._share], targets[self._share])

    def loss(self, outputs: Tensor, targets: Any, images: Tensor) -> Tensor:
        """The loss of this rank's share. Its weight makes the mean of the ranks' gradients that of the whole batch."""
        loss = self.run.loss(outputs, targets, images)
        count = self.run.loss_count(targets)
        # One message for all that the ranks must agree on before the step.
        loss_sum, whole_count, interrupted = self.ranks.sums(
            loss.item() * count, count, float(self.interruption.requested)
        )
        self._mean_loss = torch.tensor(loss_sum / whole_count, dtype=torch.float64)
        self.requested = interrupted > 0
        return loss * (count * self.ranks.count / whole_count)

    def before_step(self, loss: Tensor) -> None:
        """As `RecipeRun.before_step`. If the loss of one rank is not finite, all ranks stop."""
        try:
            self.run.before_step(self._mean_loss)
        except ModelError as error:
            raise self.ranks.shared(error) from error

    def after_step(self, loss: Tensor) -> None:
        self.run.after_step(self._mean_loss)

    def end_epoch(self) -> None:
        self.run.end_epoch()
