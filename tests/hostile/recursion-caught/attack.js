export default function attack() {
  const deeper = () => {
    try {
      deeper();
    } finally {
      deeper();
    }
  };
  deeper();
}
