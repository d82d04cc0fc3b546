import { createSchema, createYoga } from "graphql-yoga";
const yoga = createYoga({ logging: false, schema: createSchema({ typeDefs: "type Query { n: Int }", resolvers: { Query: { n: () => 42 } } }) });
export default async () => {
  const response = await yoga.fetch("http://example.com/graphql", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ query: "{ n }" }) });
  return [response.status, await response.json()];
};
export const expected = [200, { data: { n: 42 } }];
