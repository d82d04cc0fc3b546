function pass(bytes, stream) {
  return new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer();
}

// What reading the data gives when it is cut after each of its bytes.
async function cuts(format) {
  const whole = new Uint8Array(await pass("hello hello hello", new CompressionStream(format)));
  const found = new Set();
  for (let length = 0; length < whole.length; length++) {
    found.add(await pass(whole.subarray(0, length), new DecompressionStream(format)).then(() => "read", (error) => error.name));
  }
  return [...found];
}

async function events(size) {
  const bytes = new TextEncoder().encode("data\ufeff\n\ndata: only\n\n");
  let at = 0;
  const source = EventSource.from(new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at += size));
    },
  }));
  return new Promise((resolve) => {
    let found = [];
    source.onmessage = (event) => found = [...found, event.data, event.lastEventId];
    source.onerror = () => resolve(found);
  });
}

function host(pattern) {
  try {
    return new URLPattern(pattern).hostname;
  } catch (error) {
    return error.name;
  }
}

export default {
  async fetch() {
    const found = {};
    for (const format of ["deflate", "deflate-raw", "gzip"]) found[format] = await cuts(format);
    found.events = [await events(100), await events(1)];
    found.patterns = ["https://a]:80/", "https://[::1]]/x", "https://u:p@a]/", "https://[::1]/x", "https://(a[bc])/"].map(host);
    return Response.json(found);
  },
};
