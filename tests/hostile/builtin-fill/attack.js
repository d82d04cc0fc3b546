export default function attack() {
  const bytes = new Uint8Array(64 * 1024 * 1024);
  for (;;) bytes.fill(1).reverse().sort();
}
