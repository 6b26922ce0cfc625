// The worker that proves, in a page of the site: CPython with the prover's own files, all from this script's folder.
//
// It posts { loaded, total } in compressed bytes while it loads, then { ready: true }, or { failed: words } and does
// nothing more. For each message, JSON text with an id, it posts { id, answer: JSON text, memory: bytes }, or
// { id, failed: words }, and then is to be ended. Files are kept in the browser's cache, where there is one.
// `prover.py` writes FILES and INFO above these lines.

const FOLDER = new URL(".", import.meta.url).href;
const TYPES = { mjs: "text/javascript", wasm: "application/wasm" };
const MOST = 512 * 2 ** 20; // bytes that Python may take
const get = self.fetch;
const total = Object.values(FILES).reduce((sum, { bytes }) => sum + bytes, 0);
let loaded = 0;

// Python asks for memory here; where it gets none, it raises MemoryError.
const { grow } = WebAssembly.Memory.prototype;
WebAssembly.Memory.prototype.grow = function (pages) {
  if (this.buffer.byteLength + pages * 2 ** 16 > MOST) throw new RangeError("out of memory");
  return grow.call(this, pages);
};

/** The cache of this folder, without what an earlier version of the site left in it; null where a browser has none. */
async function openCache() {
  try {
    const cache = await caches.open(FOLDER);
    const wanted = Object.values(FILES).map(({ stored }) => FOLDER + stored);
    for (const { url } of await cache.keys()) if (!wanted.includes(url)) await cache.delete(url);
    return cache;
  } catch {
    return null; // the page has no https, or its reader lets no site keep anything
  }
}

/** Loads one file, whole: pyodide waits without end for one that breaks off. */
async function load(cache, name) {
  const { stored } = FILES[name];
  let response = await cache?.match(FOLDER + stored);
  let kept;
  if (!response) {
    response = await get(FOLDER + stored, { cache: cache ? "no-store" : "default" }); // to be kept once
    if (!response.ok) throw new Error(`${FOLDER + stored} is missing: status ${response.status}`);
    kept = cache?.put(FOLDER + stored, response.clone()).catch(() => {}); // no room: the next start loads it again
  }
  const count = new TransformStream({
    transform(chunk, controller) {
      loaded += chunk.length;
      postMessage({ loaded, total });
      controller.enqueue(chunk);
    },
  });
  const content = response.body.pipeThrough(count).pipeThrough(new DecompressionStream("gzip"));
  const headers = { "Content-Type": TYPES[name.split(".").at(-1)] ?? "application/zip" };
  const file = await new Response(content, { headers }).blob();
  await kept;
  return file;
}

async function start() {
  const cache = await openCache();
  const names = Object.keys(FILES);
  const loading = names.map(async (name) => [name, await load(cache, name)]);
  const files = Object.fromEntries(await Promise.all(loading));
  // What is asked for from here on is one of the files, and comes from nowhere else.
  self.fetch = async (url) => {
    const file = files[String(url).replace(FOLDER, "")];
    return file ? new Response(file, { headers: { "Content-Type": file.type } }) : Response.error();
  };
  const run = (name) => import(URL.createObjectURL(files[name]));
  const [{ loadPyodide }, { default: createPyodideModule }] = await Promise.all([
    run("pyodide.mjs"),
    run("pyodide.asm.mjs"),
  ]);
  const lockFileContents = { info: INFO, packages: {} };
  return loadPyodide({ indexURL: FOLDER, lockFileContents, createPyodideModule });
}

/** What an error says: of a traceback, the last line. */
const words = (error) =>
  String(error.message ?? error)
    .trim()
    .split("\n")
    .at(-1);

const started = start().then((python) => {
  const { respond } = python.pyimport("attnlib.turn");
  return (request) => ({ answer: respond(request), memory: python._module.HEAPU8.length });
});
started.then(
  () => postMessage({ ready: true }),
  async (error) => {
    await self.caches?.delete(FOLDER).catch(() => {}); // a file that is broken is not kept
    postMessage({ failed: words(error) });
  },
);

addEventListener("message", async ({ data }) => {
  const { id } = JSON.parse(data);
  try {
    postMessage({ id, ...(await started)(data) });
  } catch (error) {
    postMessage({ id, failed: words(error) });
  }
});
