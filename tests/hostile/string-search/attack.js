export default function attack() {
  const needle = "a".repeat(2 ** 20) + "b";
  const hay = "a".repeat(2 ** 24);
  for (;;) hay.lastIndexOf(needle);
}
