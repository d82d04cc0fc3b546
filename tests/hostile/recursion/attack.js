export default function attack() {
  const deeper = () => deeper() + 1;
  try {
    deeper();
  } catch (error) {
    return new Response(error.name);
  }
}
