export default function attack() {
  return new Response(String(new Array(2e6).fill(new Array(100).fill(1)).flat().length));
}
