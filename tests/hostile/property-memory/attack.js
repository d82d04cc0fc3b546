export default function attack() {
  const object = {};
  for (let i = 0; ; i++) {
    object["property " + i] = i;
    Symbol.for("symbol " + i);
  }
}
