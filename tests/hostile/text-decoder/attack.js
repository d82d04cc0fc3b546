export default function attack() {
  const bytes = new Uint8Array(16 << 20).fill(0xe2);
  const all = [];
  for (;;) all.push(new TextDecoder().decode(bytes));
}
