export default function attack() {
  return {
    then() {
      for (;;);
    },
  };
}
