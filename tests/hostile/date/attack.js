export default function attack() {
  let sum = 0;
  for (;;) sum += Date.parse("(".repeat(100000) + " 1 Jan 2000") || new Date(8.64e15).toLocaleString("ar-EG").length;
}
