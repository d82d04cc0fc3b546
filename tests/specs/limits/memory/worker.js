const kept = [];

const bombs = {
  array: () => kept.push(new Array(1000).fill(kept.length)),
  object: () => kept.push({ a: { b: kept.length } }),
  map: () => kept.push(new Map([[kept.length, {}]])),
  promise: () => kept.push(new Promise(() => {})),
  listener: () => addEventListener(`x${kept.push(0)}`, () => kept),
  string: () => kept.push(`${kept.length}`.repeat(100).toUpperCase()),
};

export default {
  fetch(request) {
    const bomb = bombs[new URL(request.url).pathname.slice(1)];
    if (bomb !== undefined) for (;;) bomb();
    return new Response("ok");
  },
};
