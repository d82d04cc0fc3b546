import PQueue from "p-queue";
export default async () => { const queue = new PQueue({ concurrency: 1 }); const order = []; queue.add(async () => order.push("low")); queue.add(async () => order.push("mid")); queue.add(async () => order.push("high"), { priority: 9 }); await queue.onIdle(); return order; };
export const expected = ["low", "high", "mid"];
