"""What length costs (chapter 09)."""

from sympy import IndexedBase, Max, Symbol, ceiling, exp, sqrt

from attnlib.formulas.formula import Formula
from attnlib.formulas.symbols import d, declare, head_count, i, j, number_size, o, over_keys, sequence_length, spread, w

query_block = declare(Symbol("r", integer=True, positive=True), "queries held at a time")
speed, bandwidth = (
    declare(Symbol("R", positive=True), "operations a second"),
    declare(Symbol("B", positive=True), "bytes a second"),
)
capacity = declare(Symbol("C", positive=True), "bytes of a machine")
operations, traffic = (
    declare(Symbol("F", positive=True), "operations"),
    declare(Symbol("Q", positive=True), "bytes moved"),
)
naive_bytes, streaming_bytes = (
    declare(Symbol("N", positive=True), "bytes held, naive"),
    declare(Symbol("S", positive=True), "bytes held, streaming"),
)
seconds = declare(Symbol("t", positive=True), "floor under the time")

_arguments = 4 * number_size * head_count * d * sequence_length  # bytes of queries, keys, values and output
_per_head = 2 * number_size * head_count  # bytes that one more query, and one more key for all queries, take

flops = Formula(
    "operations of attention",
    operations,
    4 * head_count * d * sequence_length**2,
    "A multiplication and an addition for each query, key and coordinate, twice.",
)
naive_held = Formula(
    "bytes that the naive method holds",
    naive_bytes,
    _arguments + 2 * number_size * head_count * sequence_length**2,
    "Queries, keys, values and output, and all scores and weights.",
)
streaming_held = Formula(
    "bytes that the streaming method holds",
    streaming_bytes,
    _arguments + 2 * number_size * head_count * sequence_length,
    "Queries, keys, values and output, and two numbers a query.",
)
naive_traffic = Formula(
    "bytes that the naive method moves",
    traffic,
    4 * number_size * head_count * (d * sequence_length + sequence_length**2),
    "Queries, keys, values and output once; scores and weights twice, written and read.",
)
streaming_traffic = Formula(
    "bytes that the streaming method moves",
    traffic,
    2 * number_size * head_count * d * sequence_length * (1 + ceiling(sequence_length / query_block)),
    "Queries and output once, keys and values once for each block of queries.",
)
intensity = Formula(
    "operations for each byte moved",
    Symbol("I", positive=True),
    operations / traffic,
    "What decides which limit binds.",
)
roofline = Formula(
    "floor under the time",
    seconds,
    Max(operations / speed, traffic / bandwidth),
    "The longer of computing and moving.",
)
naive_limit = Formula(
    "length at which the naive method fills a machine",
    sequence_length,
    sqrt(d**2 + capacity / _per_head) - d,
    "Longer sequences do not fit.",
)
streaming_limit = Formula(
    "length at which the streaming method fills a machine",
    sequence_length,
    capacity / (_per_head * (2 * d + 1)),
    "Longer sequences do not fit.",
)

# Estimates that are merged into one: of each its largest score M, the sum of its exponentials relative to that, and its
# average o. A key alone has its score, 1 and its value. What is merged has the largest of all M as its `top`.
tops = declare(IndexedBase("M", real=True), "largest scores")
sums = declare(IndexedBase("ℓ", positive=True), "sums of exponentials")
averages = o  # each part's output
top = declare(Symbol("M_max", real=True), "largest score of all")
total = declare(Symbol("ℓ", positive=True), "sum of exponentials of all")
average = declare(Symbol("o", real=True), "average")

merged_sum = Formula(
    "sum of exponentials of what is merged",
    total,
    over_keys(exp(tops[j] - top) * sums[j]),
    "Each part's sum, taken to the common largest score.",
)
merged_share = Formula(
    "share of a part in what is merged",
    w[i],
    exp(tops[i] - top) * sums[i] / over_keys(exp(tops[j] - top) * sums[j]),
    "Each part counts by its share of the precision.",
)
merged_average = Formula(
    "average of what is merged",
    average,
    over_keys(exp(tops[j] - top) * sums[j] * averages[j]) / over_keys(exp(tops[j] - top) * sums[j]),
    "The mean of the parts' averages, each with its share.",
)
merged_deviation = Formula(
    "standard deviation of what is merged",
    spread,
    exp(-top / 2) / sqrt(total),
    "One over the root of the precision; the precision at score zero is one.",
)
