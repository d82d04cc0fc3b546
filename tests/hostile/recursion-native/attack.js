export default function attack() {
  const list = [];
  list.push(list, { toString: () => String(other) });
  const other = { toString: () => `${list[1]}` };
  let proxy = {};
  for (let i = 0; i < 1e5; i++) proxy = new Proxy(proxy, {});
  let bound = () => 1;
  for (let i = 0; i < 1e5; i++) bound = bound.bind(null);
  const outcomes = [];
  for (const body of [() => String(other), () => proxy.x, () => bound(), () => list.toString()]) {
    try {
      body();
      outcomes.push("value");
    } catch (error) {
      outcomes.push(error.name);
    }
  }
  return new Response(outcomes.join());
}
