import { TrieRouter } from "./router.js";
export { TrieRouter };
