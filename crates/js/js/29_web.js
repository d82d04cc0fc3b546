// What the web platform's scripts leave undone, or do otherwise than the standards say.
(function () {
const { core } = __bootstrap;
const webidl = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { Event, setIsTrusted, setTarget } = core.loadExtScript("ext:deno_web/02_event.js");
const { Performance, performance } = core.loadExtScript("ext:deno_web/15_performance.js");

// DOM Standard, "inner event creation steps". Taken at the first look: the clock stands still during a turn, so that what
// is read in the turn that made the event is exact, and the ordinary event costs no look at the clock.
const timeStamps = new WeakMap();
const timeStamp = Object.getOwnPropertyDescriptor(Event.prototype, "timeStamp");
Object.defineProperty(Event.prototype, "timeStamp", {
  ...timeStamp,
  get: Object.getOwnPropertyDescriptor({
    get timeStamp() {
      let stamp = timeStamps.get(this);
      if (stamp === undefined) {
        // Throws for what is no event.
        timeStamp.get.call(this);
        stamp = performance.now();
        timeStamps.set(this, stamp);
      }
      return stamp;
    },
  }, "timeStamp").get,
});

// DOM Standard, "initEvent": the legacy way to say what an event is.
const [attributesKey, dispatchedKey, canceledKey, stopKey, stopImmediateKey] = [
  "[[attributes]]",
  "[[dispatched]]",
  "[[canceledFlag]]",
  "[[stopPropagationFlag]]",
  "[[stopImmediatePropagationFlag]]",
].map((description) => {
  const event = new Event("");
  let holder = event;
  while (holder !== null) {
    const key = Object.getOwnPropertySymbols(holder).find((symbol) => symbol.description === description);
    if (key !== undefined) return key;
    holder = Object.getPrototypeOf(holder);
  }
  throw new Error(`events have no ${description}`);
});
Object.defineProperty(Event.prototype, "initEvent", {
  value: {
    initEvent(type, bubbles = false, cancelable = false) {
      const prefix = "Failed to execute 'initEvent' on 'Event'";
      webidl.requiredArguments(arguments.length, 1, prefix);
      const name = webidl.converters.DOMString(type, prefix, "Argument 1");
      // Throws for what is no event.
      timeStamp.get.call(this);
      if (this[dispatchedKey]) return;
      this[canceledKey] = false;
      this[stopKey] = false;
      this[stopImmediateKey] = false;
      setIsTrusted(this, false);
      setTarget(this, null);
      const attributes = this[attributesKey];
      attributes.type = name;
      attributes.bubbles = !!bubbles;
      attributes.cancelable = !!cancelable;
    },
  }.initEvent,
  writable: true,
  enumerable: true,
  configurable: true,
});

// User Timing: null is an empty dictionary, and members that are undefined are not there.
const { measure } = Performance.prototype;
Object.defineProperty(Performance.prototype, "measure", {
  value: {
    measure(measureName, startOrMeasureOptions = undefined, endMark = undefined) {
      let options = startOrMeasureOptions;
      if (options === null) options = {};
      else if (typeof options === "object") {
        options = { __proto__: null };
        for (const name of ["detail", "duration", "end", "start"]) {
          const value = startOrMeasureOptions[name];
          if (value !== undefined) options[name] = value;
        }
      }
      if (arguments.length === 0) return measure.call(this);
      return endMark === undefined ? measure.call(this, measureName, options) : measure.call(this, measureName, options, endMark);
    },
  }.measure,
  writable: true,
  enumerable: true,
  configurable: true,
});
})();
