"""Does it matter by what scores are divided? A tiny attention layer learns associative recall at τ = 1, √d and d.

    python benchmarks/recall.py                                   # some twenty seconds
    python benchmarks/recall.py --record attnlib/records/recall.json

A sequence holds 32 pairs of a fresh Gaussian key with d = 64 coordinates and one of 8 values; then one of its keys
comes again, and the layer must name the value. W_Q and W_K start with variance 1/d, so scores start with variance d.
They are learned, and with them a vector for each value and the readout: Adam, 400 steps of 32 fresh sequences, then 640
more for a test. Seven learning rates, eight seeds. A key counts as reached at the start if the derivative of the loss
with respect to its score is at least 1 % of the largest in its sequence.
"""

import argparse
import math
from pathlib import Path

import torch

from attnlib.recorded import write

WIDTH, KEYS, VALUES, BATCH, STEPS = 64, 32, 8, 32, 400
TEMPERATURES = {"1": 1.0, "√d": math.sqrt(WIDTH), "d": float(WIDTH)}
RATES = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032)
SEEDS = range(8)


class Draws:
    """Random tensors for several runs side by side; runs of one seed get the same."""

    def __init__(self, seeds: list[int]):
        alone = sorted(set(seeds))
        self.which = [alone.index(seed) for seed in seeds]
        self.sources = [torch.Generator().manual_seed(seed) for seed in alone]

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.stack([torch.randn(shape, generator=source) for source in self.sources])[self.which]

    def below(self, top: int, *shape: int) -> torch.Tensor:
        return torch.stack([torch.randint(top, shape, generator=source) for source in self.sources])[self.which]


def attend(learned: list[torch.Tensor], tau: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, ...]:
    """Show fresh sequences to the layer: the mean loss and the share of right answers of each run, scores, weights."""
    w_q, w_k, vector, readout = learned
    key = draws.normal(BATCH, KEYS, WIDTH)
    value, asked = draws.below(VALUES, BATCH, KEYS), draws.below(KEYS, BATCH, 1)
    query = torch.gather(key, 2, asked[..., None].expand(-1, -1, 1, WIDTH))[:, :, 0]
    scores = (key @ (query @ w_q @ w_k.mT)[..., None])[..., 0]
    weights = torch.softmax(scores / tau, -1)
    of_value = torch.zeros(*weights.shape[:2], VALUES).scatter_add(2, value, weights)  # keys with one value together
    logits = of_value @ (vector @ readout)
    right = torch.gather(value, 2, asked)[..., 0]
    loss = torch.nn.functional.cross_entropy(logits.permute(0, 2, 1), right, reduction="none").mean(1)
    return loss, (logits.argmax(-1) == right).float().mean(1), scores, weights


def train(runs: list[tuple[float, float, int]]) -> dict[str, torch.Tensor]:
    """Train all runs (τ, learning rate, seed) side by side, and test them: one number of each kind for each run."""
    taus, rates, seeds = (list(column) for column in zip(*runs, strict=True))
    tau, rate = torch.tensor(taus)[:, None, None], torch.tensor(rates)[:, None, None]
    draws = Draws(seeds)
    shapes = ((WIDTH, WIDTH, WIDTH), (WIDTH, WIDTH, WIDTH), (VALUES, WIDTH, 1), (WIDTH, VALUES, WIDTH))
    learned = [draws.normal(rows, columns) / math.sqrt(over) for rows, columns, over in shapes]
    for part in learned:
        part.requires_grad_()
    means, squares = ([torch.zeros_like(part) for part in learned] for _ in range(2))
    found = {}
    for step in range(1, STEPS + 1):
        loss, _, scores, weights = attend(learned, tau, draws)
        *slopes, by_score = torch.autograd.grad(loss.sum(), [*learned, scores])
        if step == 1:
            reached = by_score.abs() >= 0.01 * by_score.abs().amax(-1, keepdim=True)
            found["entropy"] = torch.special.entr(weights).sum(-1).mean(1).detach()
            found["reached"] = reached.float().mean((1, 2))
            found["gradient"] = slopes[0].norm(dim=(1, 2))
        with torch.no_grad():  # Adam; torch's own has one learning rate for all runs
            for part, slope, mean, square in zip(learned, slopes, means, squares, strict=True):
                mean.lerp_(slope, 0.1)
                square.lerp_(slope**2, 0.001)
                part -= rate * mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
    with torch.no_grad():
        tests = [attend(learned, tau, draws)[:2] for _ in range(20)]
    found["loss"], found["accuracy"] = (torch.stack(kind).mean(0) for kind in zip(*tests, strict=True))
    return found


def main() -> None:
    """Print a line for each temperature and learning rate, with median and range over the seeds, and record them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, help="write what was found to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)  # tensors are small: a second thread costs more than it does
    taus = list(TEMPERATURES.values())
    found = train([(tau, rate, seed) for tau in taus for rate in RATES for seed in SEEDS])
    rows = []
    for at, name in enumerate(TEMPERATURES):
        own = {kind: x.reshape(len(taus), len(RATES), len(SEEDS))[at] for kind, x in found.items()}
        start = {kind: own[kind][0].mean().item() for kind in ("entropy", "reached", "gradient")}
        print(f"τ = {name}, at the start: " + ", ".join(f"{kind} {number:.3g}" for kind, number in start.items()))
        row = {"temperature": name, **start, "rates": []}
        for rate, loss, accuracy in zip(RATES, own["loss"], own["accuracy"], strict=True):
            kinds = {"loss": loss, "accuracy": accuracy}
            ends = {kind: [x.quantile(share).item() for share in (0.0, 0.5, 1.0)] for kind, x in kinds.items()}
            row["rates"].append({"rate": rate, **ends})
            low, middle, high = ends["loss"]
            right = f"right {ends['accuracy'][1]:.1%}"
            print(f"  rate {rate:<6}  loss {middle:.4f} ({low:.4f} to {high:.4f})  {right}")
        rows.append(row)
    if options.record:
        write(options.record, rows, needs="torch")


if __name__ == "__main__":
    main()
