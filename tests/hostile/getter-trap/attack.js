export default function attack() {
  console.log({
    get [Symbol.toStringTag]() {
      for (;;);
    },
    toJSON() {
      for (;;);
    },
    [Symbol.for("nodejs.util.inspect.custom")]() {
      for (;;);
    },
  });
  console.log(
    new Proxy(
      {},
      {
        ownKeys() {
          for (;;);
        },
      },
    ),
  );
  const error = new Error("x");
  Object.defineProperty(error, "stack", {
    get() {
      for (;;);
    },
  });
  throw error;
}
