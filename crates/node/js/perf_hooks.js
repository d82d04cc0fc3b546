// exports: Performance, PerformanceEntry, PerformanceMark, PerformanceMeasure, PerformanceObserver, PerformanceObserverEntryList
// exports: PerformanceResourceTiming, constants, createHistogram, eventLoopUtilization, monitorEventLoopDelay, performance, timerify
//
// node:perf_hooks: the platform's performance object with Node's additions. An isolate shares its thread with others, so
// nothing here measures that thread: the event loop's figures are zero.

const { codes: { ERR_METHOD_NOT_IMPLEMENTED } } = require("internal/errors");
const { validateFunction } = require("internal/validators");
const {
  Performance,
  PerformanceEntry,
  PerformanceMark,
  PerformanceMeasure,
  PerformanceObserver,
  PerformanceObserverEntryList,
  PerformanceResourceTiming,
  performance,
} = globalThis;

function eventLoopUtilization() {
  return { idle: 0, active: 0, utilization: 0 };
}

function timerify(fn, _options = undefined) {
  validateFunction(fn, "fn");
  const timed = function (...args) {
    return new.target ? Reflect.construct(fn, args, new.target === timed ? fn : new.target) : Reflect.apply(fn, this, args);
  };
  Object.defineProperties(timed, {
    length: { configurable: true, value: fn.length },
    name: { configurable: true, value: `timerified ${fn.name}` },
  });
  return timed;
}

const nodeTiming = {
  name: "node",
  entryType: "node",
  startTime: 0,
  duration: 0,
  nodeStart: 0,
  v8Start: 0,
  bootstrapComplete: 0,
  environment: 0,
  loopStart: 0,
  loopExit: 0,
  idleTime: 0,
  uvMetricsInfo: { loopCount: 0, events: 0, eventsWaiting: 0 },
};

for (
  const [name, value] of Object.entries({ eventLoopUtilization, markResourceTiming() {}, nodeTiming, timerify })
) {
  if (name in performance) continue;
  Object.defineProperty(performance, name, { configurable: true, enumerable: false, writable: true, value });
}

function createHistogram() {
  throw new ERR_METHOD_NOT_IMPLEMENTED("createHistogram");
}

function monitorEventLoopDelay() {
  throw new ERR_METHOD_NOT_IMPLEMENTED("monitorEventLoopDelay");
}

module.exports = {
  Performance,
  PerformanceEntry,
  PerformanceMark,
  PerformanceMeasure,
  PerformanceObserver,
  PerformanceObserverEntryList,
  PerformanceResourceTiming,
  constants: Object.freeze({
    NODE_PERFORMANCE_GC_MAJOR: 4,
    NODE_PERFORMANCE_GC_MINOR: 1,
    NODE_PERFORMANCE_GC_INCREMENTAL: 8,
    NODE_PERFORMANCE_GC_WEAKCB: 16,
    NODE_PERFORMANCE_GC_FLAGS_NO: 0,
    NODE_PERFORMANCE_GC_FLAGS_CONSTRUCT_RETAINED: 2,
    NODE_PERFORMANCE_GC_FLAGS_FORCED: 4,
    NODE_PERFORMANCE_GC_FLAGS_SYNCHRONOUS_PHANTOM_PROCESSING: 8,
    NODE_PERFORMANCE_GC_FLAGS_ALL_AVAILABLE_GARBAGE: 16,
    NODE_PERFORMANCE_GC_FLAGS_ALL_EXTERNAL_MEMORY: 32,
    NODE_PERFORMANCE_GC_FLAGS_SCHEDULE_IDLE: 64,
  }),
  createHistogram,
  eventLoopUtilization,
  monitorEventLoopDelay,
  performance,
  timerify,
};
