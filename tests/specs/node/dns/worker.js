import dns from "node:dns";
import { promisify } from "node:util";

const { promises } = dns;
const shown = async (run) => {
  try {
    return await run();
  } catch (error) {
    return `${error.code}: ${error.message}`;
  }
};
const called = (run) => new Promise((resolve, reject) => run((error, ...values) => (error ? reject(error) : resolve(values))));

const cases = {
  literal: () => promises.lookup("192.0.2.7"),
  literalAll: () => promises.lookup("2001:db8::7", { all: true }),
  empty: () => promises.lookup(""),
  here: () => promises.lookup("localhost", { family: 4 }),
  hereAll: () => promises.lookup("app.localhost", { all: true, order: "ipv4first" }),
  callback: () => called((done) => dns.lookup("localhost", { family: "IPv6" }, done)),
  promisified: () => promisify(dns.lookup)("localhost", 4),
  absent: () => promises.lookup("absent.invalid"),
  badFamily: () => promises.lookup("localhost", { family: 7 }),
  badName: () => promises.resolve4(5),
  badKind: () => promises.resolve("localhost", "NONSENSE"),
  notAnAddress: () => promises.reverse("localhost"),
  noSuchLabel: () => promises.resolve4("a..b"),
  noCallback: () => dns.resolveMx("localhost"),
  order: () => {
    dns.setDefaultResultOrder("ipv4first");
    return [dns.getDefaultResultOrder(), promises.getDefaultResultOrder()];
  },
};

export default {
  async fetch() {
    const answers = {};
    for (const [name, run] of Object.entries(cases)) answers[name] = await shown(run);
    return Response.json(answers);
  },
};
