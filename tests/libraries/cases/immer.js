import { produce } from "immer";
export default () => { const before = { list: [1], deep: { x: 1 } }; const after = produce(before, (draft) => { draft.list.push(2); }); return [before.list, after.list, before.deep === after.deep]; };
export const expected = [[1], [1, 2], true];
