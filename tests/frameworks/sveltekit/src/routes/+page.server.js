export function load({ locals, platform, getClientAddress }) {
  return { visits: locals.visits, greeting: platform.env.GREETING, address: getClientAddress(), hasCaches: typeof platform.caches?.default };
}
