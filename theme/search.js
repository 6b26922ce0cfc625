// How the search page reads a query, and in which order it shows what it finds; sphinx_extensions/search.py prepares
// the text.

var splitQuery = (query) =>
  query
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .split(/[^\p{Letter}\p{Number}_]+/u)
    .filter(Boolean);

const query = (new URLSearchParams(location.search).get("q") ?? "").toLowerCase();
const asked = splitQuery(query);
const joined = (query.match(/\p{L}+(-\p{L}+)+/gu) ?? []).map((word) => word.replaceAll("-", ""));

/** Whether a page has a word of the query with its hyphen, softmax-one say, and not its parts alone. */
const hyphenated = (page) =>
  joined.some((word) => {
    const { terms, docnames } = Search._index;
    return [terms[new Stemmer().stemWord(word)] ?? []].flat().some((number) => docnames[number] === page);
  });

/** Whether a heading of a page has the query, of several words, as it stands. */
const headed = (page) => {
  const { alltitles, docnames } = Search._index;
  const has = ([title, places]) =>
    title.toLowerCase().includes(query.trim()) && places.some(([number]) => docnames[number] === page);
  return asked.length > 1 && Object.entries(alltitles).some(has);
};

var Scorer = {
  // Chapters, of these first the one on what is asked; then what they refer to; then the library.
  score: ([page, , , , score]) => {
    const subject = asked.some((word) => page.split(/[-/]/).includes(word));
    const kind = /^chapters\/(\d\d-|index)/.test(page) ? 40 : /notation|formulas|ledger/.test(page) ? 20 : 0;
    return score + kind + (kind === 40 && (subject || hyphenated(page) || headed(page)) ? 40 : 0);
  },
  objNameMatch: 11,
  objPartialMatch: 1,
  objPrio: { 0: 5, 1: 3, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
