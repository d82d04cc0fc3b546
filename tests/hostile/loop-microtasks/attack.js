export default function attack() {
  return new Promise(() => {
    // Nothing is returned: a chain of unsettled promises would fill the heap, which is another kind.
    const again = () => {
      Promise.resolve().then(again);
    };
    again();
  });
}
