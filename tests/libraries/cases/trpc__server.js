import { initTRPC } from "@trpc/server";
import { fetchRequestHandler } from "@trpc/server/adapters/fetch";
const t = initTRPC.create();
const router = t.router({ hello: t.procedure.input((value) => String(value)).query(({ input }) => `hi ${input}`) });
export default async () => {
  const request = new Request("http://example.com/trpc/hello?input=" + encodeURIComponent('"Ada"'));
  const response = await fetchRequestHandler({ endpoint: "/trpc", req: request, router, createContext: () => ({}) });
  return [response.status, await response.json()];
};
export const expected = [200, { result: { data: "hi Ada" } }];
