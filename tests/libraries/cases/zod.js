import { z } from "zod";
const User = z.object({ name: z.string().min(2), email: z.email(), age: z.number().int().optional() });
export default () => [User.parse({ name: "Ada", email: "ada@example.com" }), User.safeParse({ name: "A", email: "x" }).error.issues.map((issue) => issue.path[0])];
export const expected = [{ name: "Ada", email: "ada@example.com" }, ["name", "email"]];
