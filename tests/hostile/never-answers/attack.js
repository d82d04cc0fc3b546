export default function attack() {
  return new Promise(() => {});
}
