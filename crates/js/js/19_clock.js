// Time as workers see it: it stands still while they compute and moves on when a turn begins because something outside
// happened (an event, I/O, a timer). So code cannot time itself, nor what else runs on the machine.
//
// Everything that shows the time of day is replaced before the worker's first line: Date, performance, the defaults of
// Intl.DateTimeFormat, Temporal.Now and File. The stand-ins share the originals' prototypes, so that `instanceof`,
// subclasses and `constructor` are as ever. At global scope the time is 0, as the platform has it; performance.now() is
// Date.now(), and its origin 0.
(function () {
const { core } = __bootstrap;
const { op_clock, op_clock_tick } = core.ops;
const { currentAccount, enter } = core.loadExtScript("ext:atoll_js/03_account.js");
const { File } = core.loadExtScript("ext:deno_web/09_file.js");
const performance = core.loadExtScript("ext:deno_web/15_performance.js");

const { construct } = Reflect;
const uncurry = (method) => Function.prototype.call.bind(method);
const RealDate = globalThis.Date;
const dateToString = uncurry(RealDate.prototype.toString);

// [holder, name, the original's descriptor]: what lift() puts back.
const originals = [];

function put(holder, name, descriptor) {
  const original = Object.getOwnPropertyDescriptor(holder, name);
  originals.push([holder, name, original]);
  Object.defineProperty(holder, name, { ...original, ...descriptor });
}

// `make` as a constructor in the place of Real: same name, length, statics and prototype. Bound, so that it is shown as
// native code, as the original is.
function standIn(Real, make) {
  const bound = make.bind(undefined);
  const { name, length, prototype, ...statics } = Object.getOwnPropertyDescriptors(Real);
  // `new` on a bound function takes the prototype from the function behind it.
  Object.defineProperty(make, "prototype", { value: prototype.value, writable: false });
  Object.defineProperties(bound, { name, length, prototype, ...statics });
  put(Real.prototype, "constructor", { value: bound });
  return bound;
}

function DateNow() {
  if (new.target === undefined) return dateToString(new RealDate(op_clock()));
  if (new.target === DateNow) {
    if (arguments.length === 0) return new RealDate(op_clock());
    if (arguments.length === 1) return new RealDate(arguments[0]);
    return construct(RealDate, arguments);
  }
  return construct(RealDate, arguments.length === 0 ? [op_clock()] : arguments, new.target);
}

function FileNow(bits, name, options) {
  if (new.target === undefined) return File(bits, name, options);
  const given = typeof options === "object" && options !== null && options.lastModified !== undefined;
  const dated = given || (options !== undefined && options !== null && typeof options !== "object")
    ? options
    : { endings: options?.endings, type: options?.type, lastModified: op_clock() };
  const args = arguments.length < 2 ? arguments : [bits, name, dated];
  return construct(File, args, new.target === FileNow ? FrozenFile : new.target);
}

const FrozenDate = standIn(RealDate, DateNow);
const FrozenFile = standIn(File, FileNow);
Object.defineProperty(FrozenDate, "now", {
  value: { now() { return op_clock(); } }.now,
  writable: true,
  enumerable: false,
  configurable: true,
});

function freezeDate() {
  put(globalThis, "Date", { value: FrozenDate });
  put(globalThis, "File", { value: FrozenFile });
}

function freezeIntl() {
  const { prototype } = Intl.DateTimeFormat;
  const getFormat = uncurry(Object.getOwnPropertyDescriptor(prototype, "format").get);
  const formatToParts = uncurry(prototype.formatToParts);
  // The getter gives the same function each time.
  const wrapped = new WeakMap();
  put(prototype, "format", {
    get: Object.getOwnPropertyDescriptor({
      get format() {
        const real = getFormat(this);
        let format = wrapped.get(real);
        if (format === undefined) {
          format = (date) => real(date === undefined ? op_clock() : date);
          Object.defineProperty(format, "name", { value: "" });
          wrapped.set(real, format);
        }
        return format;
      },
    }, "format").get,
  });
  put(prototype, "formatToParts", {
    value: {
      formatToParts(date) {
        return formatToParts(this, date === undefined ? op_clock() : date);
      },
    }.formatToParts,
  });
}

function freezeTemporal() {
  const { Temporal } = globalThis;
  if (Temporal === undefined) return;
  const { Instant, Now } = Temporal;
  const fromMilliseconds = Instant.fromEpochMilliseconds.bind(Instant);
  const toZoned = uncurry(Instant.prototype.toZonedDateTimeISO);
  const zoneId = Now.timeZoneId.bind(Now);
  const zoned = (zone) => toZoned(fromMilliseconds(op_clock()), zone === undefined ? zoneId() : zone);
  const methods = {
    instant() {
      return fromMilliseconds(op_clock());
    },
    plainDateISO(zone = undefined) {
      return zoned(zone).toPlainDate();
    },
    plainDateTimeISO(zone = undefined) {
      return zoned(zone).toPlainDateTime();
    },
    plainTimeISO(zone = undefined) {
      return zoned(zone).toPlainTime();
    },
    zonedDateTimeISO(zone = undefined) {
      return zoned(zone);
    },
  };
  for (const [name, value] of Object.entries(methods)) {
    if (Object.hasOwn(Now, name)) put(Now, name, { value });
  }
}

function freezePerformance() {
  const { Performance, PerformanceMark } = performance;
  const { prototype } = Performance;
  const mark = uncurry(prototype.mark);
  const measure = uncurry(prototype.measure);
  const dated = (options) => options?.startTime === undefined ? { detail: options?.detail, startTime: op_clock() } : options;
  const methods = {
    now() {
      return op_clock();
    },
    mark(name, options = undefined) {
      return arguments.length === 0 ? mark(this) : mark(this, name, dated(options));
    },
    // Without an end a measure ends now.
    measure(name, start = undefined, end = undefined) {
      if (arguments.length === 0) return measure(this);
      if (end !== undefined) return measure(this, name, start, end);
      if (typeof start !== "object" || start === null) return measure(this, name, { start: start ?? 0, end: op_clock() });
      const whole = start.end !== undefined || (start.start !== undefined && start.duration !== undefined);
      return measure(this, name, whole ? start : { ...start, end: op_clock() });
    },
    toJSON() {
      return { timeOrigin: 0 };
    },
  };
  for (const [name, value] of Object.entries(methods)) put(prototype, name, { value });
  put(prototype, "timeOrigin", { get: Object.getOwnPropertyDescriptor({ get timeOrigin() { return 0; } }, "timeOrigin").get });
  const Mark = standIn(PerformanceMark, function PerformanceMarkNow(name, options) {
    const args = arguments.length === 0 ? [] : [name, dated(options)];
    return construct(PerformanceMark, args, new.target === PerformanceMarkNow ? Mark : new.target);
  });
  put(globalThis, "PerformanceMark", { value: Mark });
}

// Once the global scope is made.
function freeze() {
  freezeDate();
  freezeIntl();
  freezeTemporal();
  freezePerformance();
}

// The real clocks again: for tests of them.
function lift() {
  for (const [holder, name, descriptor] of originals.toReversed()) Object.defineProperty(holder, name, descriptor);
}

// A timer's callback runs in the moment that it waited for.
function inOwnTime(callback, args) {
  return () => {
    const account = currentAccount();
    enter(account);
    op_clock_tick(account.id);
    callback(...args);
  };
}

return { freeze, inOwnTime, lift };
})();
