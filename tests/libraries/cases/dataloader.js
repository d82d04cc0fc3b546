import DataLoader from "dataloader";
export default async () => { let batches = 0; const loader = new DataLoader(async (keys) => { batches++; return keys.map((key) => key * 2); }); return [await Promise.all([loader.load(1), loader.load(2), loader.load(1)]), batches]; };
export const expected = [[2, 4, 2], 1];
