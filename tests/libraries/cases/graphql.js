import { buildSchema, graphql } from "graphql";
const schema = buildSchema("type Query { hello(name: String!): String }");
export default () => graphql({ schema, source: '{ hello(name: "Ada") }', rootValue: { hello: ({ name }) => `hi ${name}` } });
export const expected = { data: { hello: "hi Ada" } };
