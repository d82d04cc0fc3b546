await new Promise(() => {});
export default function attack() {}
