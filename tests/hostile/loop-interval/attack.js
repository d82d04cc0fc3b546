export default function attack() {
  setInterval(() => {
    for (;;);
  }, 1);
  return new Promise(() => {});
}
