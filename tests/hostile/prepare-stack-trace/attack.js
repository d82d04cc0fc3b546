export default function attack() {
  Error.prepareStackTrace = () => {
    for (;;);
  };
  throw new Error("look at my stack");
}
