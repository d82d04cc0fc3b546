function* numbers() {
  for (let i = 0; ; i++) yield i;
}
export default function attack() {
  let sum = 0;
  for (const number of numbers()) sum += number;
  return new Response(String(sum));
}
