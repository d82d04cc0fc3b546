export default function attack() {
  return new Response(String(Array.prototype.indexOf.call({ length: Number.MAX_SAFE_INTEGER }, 1)));
}
