export default async function attack() {
  const all = [];
  for (let i = 0; i < 1e5; i++) all.push(fetch("http://127.0.0.1:9/" + i));
  const outcomes = await Promise.allSettled(all);
  throw outcomes.at(-1).reason;
}
