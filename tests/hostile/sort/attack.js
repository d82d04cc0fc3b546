export default function attack() {
  const list = Array.from({ length: 1e6 }, (_, i) => i ^ 0x5555);
  list.sort(() => {
    for (let i = 0; i < 1e5; i++);
    return 1;
  });
}
