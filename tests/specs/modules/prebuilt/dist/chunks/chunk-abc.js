export const name = "chunk";
