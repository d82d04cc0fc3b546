const bytes = (...values) => new Uint8Array(values);
const text = (string) => new TextEncoder().encode(string);

class Shown {
  toString() {
    return "shown";
  }
  *[Symbol.iterator]() {
    yield text("iterated");
  }
}
class Silent {
  *[Symbol.iterator]() {
    yield text("iterated");
  }
}

// Each twice: as a response's body and as a request's.
const bodies = {
  array: () => [text("a"), text("bc")],
  set: () => new Set([text("x")]),
  generator: () => (function* () {
    yield text("one ");
    yield text("two");
  })(),
  later: () => (async function* () {
    yield text("one ");
    yield bytes(0x74, 0x77, 0x6f).buffer;
  })(),
  empty: () => [],
  map: () => new Map(),
  silent: () => new Silent(),
  shown: () => new Shown(),
  ownShown: () => Object.assign([text("a")], { toString: () => "own" }),
  string: () => new String("boxed"),
  plain: () => ({}),
  date: () => new Date(NaN),
  strings: () => ["a", "b"],
  numbers: () => [1, 2],
};

async function read(body) {
  try {
    const { headers } = body;
    return [await body.text(), headers.get("content-type")];
  } catch (error) {
    return error.name;
  }
}

export default {
  async fetch() {
    const out = {};
    for (const [name, make] of Object.entries(bodies)) {
      const response = await read(new Response(make()));
      const request = await read(new Request("http://a.test", { method: "POST", body: make() }));
      out[name] = JSON.stringify(response) === JSON.stringify(request) ? response : [response, request];
    }
    return Response.json(out);
  },
};
