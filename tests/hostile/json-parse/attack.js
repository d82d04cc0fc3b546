export default function attack() {
  const text = JSON.stringify(Array.from({ length: 20000 }, (_, i) => ({ i, list: [i, [i, [i]]] })));
  for (;;) JSON.parse(text);
}
