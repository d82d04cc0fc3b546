let count = 0;
export const next = () => `a: ${(count += 1)}`;
export const current = () => count;
