import { index, route } from "@react-router/dev/routes";
export default [index("routes/home.tsx"), route("form", "routes/form.tsx"), route("stream", "routes/stream.tsx"), route("api/echo", "routes/echo.ts")];
