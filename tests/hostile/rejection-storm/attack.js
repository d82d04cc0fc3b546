export default async function attack() {
  for (;;) {
    for (let i = 0; i < 1000; i++) Promise.reject(new Error("nobody listens " + i));
    await scheduler.wait(0);
  }
}
