const global = [Date.now(), performance.now(), new Date().toISOString(), Date().slice(0, 15)];
let last = 0;

function compute() {
  let sum = 0;
  for (let i = 0; i < 2e7; i += 1) sum += i % 7;
  return sum;
}

export default {
  async fetch(_request, env) {
    const out = { global };
    const start = Date.now();
    out["new request"] = start >= last && start > 1.7e12;
    console.time("label");
    const [real, precise] = [start, performance.now()];
    const mark = performance.mark("start").startTime;
    compute();
    console.timeEnd("label");
    out.computing = [
      Date.now() - real, new Date() - real, performance.now() - precise, Date() === new Date(real).toString(),
      performance.mark("end").startTime - mark, performance.measure("all", "start").duration,
    ];
    await null;
    out.microtasks = Date.now() - start;
    await scheduler.wait(20);
    const after = Date.now();
    out.timer = after - start >= 20;
    const times = await Promise.all([5, 10, 15].map((delay) => new Promise((resolve) => setTimeout(() => resolve(Date.now() - after), delay))));
    out["timers in order"] = times.every((time, i) => time >= [5, 10, 15][i]);
    const before = Date.now();
    await scheduler.wait(2);
    await (await fetch(`${env.ORIGIN}/echo`)).text();
    out.fetch = Date.now() > before;
    out.performance = [performance.now() === Date.now(), performance.timeOrigin, performance.toJSON().timeOrigin, new PerformanceMark("x").startTime - Date.now(), performance.mark("y") instanceof PerformanceMark];
    const now = new Date();
    compute();
    const format = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "medium", fractionalSecondDigits: undefined });
    out.intl = format.format() === format.format(now) && format.format === format.format;
    const digits = new Intl.DateTimeFormat("en", { fractionalSecondDigits: 3, second: "2-digit" });
    out.parts = JSON.stringify(digits.formatToParts()) === JSON.stringify(digits.formatToParts(now));
    out.file = new File(["x"], "name").lastModified === +now;
    const form = new FormData();
    form.append("file", new Blob(["x"]));
    out.form = form.get("file").lastModified === +now;
    out.console = true;
    last = Date.now();
    return Response.json(out);
  },
};
