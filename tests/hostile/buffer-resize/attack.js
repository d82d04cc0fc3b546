export default function attack() {
  const all = [];
  for (;;) {
    // One cannot be this large; many smaller ones can, for a while.
    try {
      all.push(new ArrayBuffer(0, { maxByteLength: 2 ** 32 }));
    } catch {}
    const buffer = new ArrayBuffer(0, { maxByteLength: 2 ** 26 });
    for (let size = 1; size <= 2 ** 26; size *= 2) buffer.resize(size);
    all.push(buffer.transfer());
  }
}
