import { LRUCache } from "lru-cache";
export default () => { const cache = new LRUCache({ max: 2 }); cache.set("a", 1).set("b", 2); cache.get("a"); cache.set("c", 3); return [...cache.keys()]; };
export const expected = ["c", "a"];
