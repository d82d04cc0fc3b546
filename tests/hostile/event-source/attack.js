export default function attack() {
  const target = new EventTarget();
  target.addEventListener("x", () => target.dispatchEvent(new Event("y")));
  target.addEventListener("y", () => {
    try {
      target.dispatchEvent(new Event("x"));
    } finally {
      target.dispatchEvent(new Event("x"));
    }
  });
  target.dispatchEvent(new Event("x"));
}
