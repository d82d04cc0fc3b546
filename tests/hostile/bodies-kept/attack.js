export default async function attack() {
  const all = [];
  for (let i = 0; ; i++) {
    const response = new Response("x".repeat(1 << 20) + i);
    all.push(response.body, response.clone().body?.getReader().read());
    if (i % 10 === 9) await scheduler.wait(0);
  }
}
