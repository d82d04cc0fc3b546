export default function attack() {
  let number = 7n;
  for (;;) number = number ** 7n;
}
