const registry = new FinalizationRegistry(() => {
  for (let i = 0; i < 1e4; i++);
});
export default function attack() {
  const all = [];
  for (let i = 0; ; i++) {
    const object = { i };
    all.push(new WeakRef(object));
    registry.register(object, "x".repeat(100) + i);
  }
}
