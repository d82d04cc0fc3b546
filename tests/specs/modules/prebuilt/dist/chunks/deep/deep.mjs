import { name } from "../chunk-abc.js";
export const deep = name === "chunk" ? "deep" : "lost";
