export default function attack() {
  let number = (1n << 20_000_000n) - 1n;
  for (;;) number = BigInt(number.toString());
}
