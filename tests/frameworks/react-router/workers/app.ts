import { createRequestHandler, RouterContextProvider } from "react-router";
import { cloudflareContext } from "../app/context";

const handler = createRequestHandler(() => import("virtual:react-router/server-build"), import.meta.env.MODE);

export default {
  fetch(request: Request, env: { GREETING: string }, ctx: unknown) {
    const context = new RouterContextProvider();
    context.set(cloudflareContext, { env, ctx });
    return handler(request, context);
  },
};
