export default function attack() {
  const all = [];
  for (;;) all.push({ index: all.length, list: [1, 2, 3] });
}
