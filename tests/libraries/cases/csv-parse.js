import { parse } from "csv-parse";
import { parse as parseSync } from "csv-parse/sync";
export default async () => {
  const rows = [];
  const parser = parse("a,b\n1,2\n", { columns: true });
  for await (const row of parser) rows.push(row);
  return [rows, parseSync('x,"y, z"')];
};
export const expected = [[{ a: "1", b: "2" }], [["x", "y, z"]]];
