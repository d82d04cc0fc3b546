import MiniSearch from "minisearch";
export default () => { const index = new MiniSearch({ fields: ["text"] }); index.addAll([{ id: 1, text: "zen art" }, { id: 2, text: "motorcycle" }]); return index.search("motor", { prefix: true }).map((hit) => hit.id); };
export const expected = [2];
