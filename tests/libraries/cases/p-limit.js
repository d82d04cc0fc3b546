import pLimit from "p-limit";
export default async () => {
  let running = 0, most = 0;
  const limit = pLimit(2);
  const task = async (n) => { most = Math.max(most, ++running); await scheduler.wait(1); running--; return n; };
  return [await Promise.all([1, 2, 3, 4].map((n) => limit(() => task(n)))), most];
};
export const expected = [[1, 2, 3, 4], 2];
