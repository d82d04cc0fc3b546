export default function attack() {
  const again = () => queueMicrotask(again);
  for (let i = 0; i < 1000; i++) again();
  return new Promise(() => {});
}
