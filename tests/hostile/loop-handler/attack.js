export default function attack() {
  for (;;);
}
