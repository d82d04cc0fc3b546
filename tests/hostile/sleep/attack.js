export default function attack() {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1e6);
  } catch {}
  const start = Date.now();
  while (Date.now() - start < 60_000);
}
