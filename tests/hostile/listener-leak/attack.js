export default function attack() {
  const controller = new AbortController();
  for (let i = 0; ; i++) controller.signal.addEventListener("abort", () => i);
}
