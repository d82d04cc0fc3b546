import { eq, gt, and } from "drizzle-orm";
import { QueryBuilder, pgTable, serial, text } from "drizzle-orm/pg-core";
const users = pgTable("users", { id: serial("id"), name: text("name") });
export default () => {
  const { sql, params } = new QueryBuilder().select().from(users).where(and(eq(users.name, "Ada"), gt(users.id, 3))).limit(5).toSQL();
  return [sql, params];
};
export const expected = ['select "id", "name" from "users" where ("users"."name" = $1 and "users"."id" > $2) limit $3', ["Ada", 3, 5]];
