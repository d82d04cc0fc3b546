for (;;);
export default function attack() {}
