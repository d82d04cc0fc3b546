import { DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from "kysely";
export default () => {
  const db = new Kysely({ dialect: { createAdapter: () => new SqliteAdapter(), createDriver: () => new DummyDriver(), createIntrospector: (d) => new SqliteIntrospector(d), createQueryCompiler: () => new SqliteQueryCompiler() } });
  const { sql, parameters } = db.selectFrom("person").select(["id", "name"]).where("age", ">", 20).orderBy("name").compile();
  return [sql, parameters];
};
export const expected = ['select "id", "name" from "person" where "age" > ? order by "name"', [20]];
