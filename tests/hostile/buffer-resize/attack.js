export default function attack() {
  const all = [];
  for (let i = 0; i < 1000; i++) {
    const buffer = new ArrayBuffer(0, { maxByteLength: 2 ** 32 });
    for (let size = 1; size <= 2 ** 32; size *= 2) buffer.resize(size);
    all.push(buffer.transfer());
  }
}
