import { scryptSync } from "node:crypto";
export default function attack() {
  const outcomes = new Set();
  for (let i = 0; i < 50; i++) {
    try {
      scryptSync("password", "salt" + i, 64, { N: 2 ** (i % 2 ? 16 : 20), r: 8, p: 128, maxmem: 2 ** 34 });
      outcomes.add("done");
    } catch (error) {
      outcomes.add(error.code ?? error.name);
    }
  }
  return new Response([...outcomes].join());
}
