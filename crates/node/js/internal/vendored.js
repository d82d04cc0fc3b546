// Libraries that are embedded as they were published (third_party/): their files are CommonJS modules that require each
// other by relative paths. load(root, path, own) gives a file's exports; `own` names the modules that stand in for some of
// the library's files and for the packages that it depends on.

const { ops: { op_node_cache, op_node_compile } } = internal;

function resolve(from, specifier) {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/").replace(/\.js$/, "");
}

class Library {
  #root;
  #own;
  #loaded = new Map();

  // root: folder below internal/; own: path or package -> function that returns what stands for it.
  constructor(root, own) {
    this.#root = root;
    this.#own = own;
  }

  load(path) {
    const stand = this.#own[path];
    if (stand !== undefined) return stand();
    const known = this.#loaded.get(path);
    if (known !== undefined) return known.exports;
    const name = `internal/${this.#root}/${path}`;
    const compiled = op_node_compile(name);
    if (compiled === undefined) throw new Error(`${this.#root} has no ${path}`);
    const module = { exports: {} };
    this.#loaded.set(path, module);
    const requireFile = (specifier) => {
      if (specifier.startsWith(".")) return this.load(resolve(path, specifier));
      const stand = this.#own[specifier];
      if (stand === undefined) throw new Error(`${this.#root}: ${path} requires ${specifier}`);
      return stand();
    };
    try {
      compiled.call(module.exports, module.exports, requireFile, module, internal);
    } catch (error) {
      this.#loaded.delete(path);
      throw error;
    }
    op_node_cache(name, compiled);
    return module.exports;
  }
}

module.exports = { Library };
