export type Word = string & { readonly brand?: "word" };
export const word: Word = "via alias";
