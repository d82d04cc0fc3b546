export default function attack() {
  return new Promise(() => {
    const again = () => {
      for (let i = 0; i < 1e5; i++);
      setTimeout(again, 0);
    };
    again();
  });
}
