import { createContext } from "react-router";
export const cloudflareContext = createContext<{ env: { GREETING: string }; ctx: unknown }>();
