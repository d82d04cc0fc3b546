// exports: DefaultDeserializer, DefaultSerializer, Deserializer, GCProfiler, Serializer, cachedDataVersionTag
// exports: deserialize, getCppHeapStatistics, getHeapCodeStatistics, getHeapSnapshot, getHeapSpaceStatistics
// exports: getHeapStatistics, isStringOneByteRepresentation, promiseHooks, queryObjects, serialize, setFlagsFromString
// exports: setHeapSnapshotNearHeapLimit, startupSnapshot, stopCoverage, takeCoverage, writeHeapSnapshot
//
// node:v8. A worker is not told about the heap that it shares a process with; figures are 0, and V8's own format is not offered.

const { validateFunction, validateNumber, validateString } = require("internal/validators");
const { unavailable, unavailableClass } = require("internal/unavailable");

const WRITES = [
  "writeHeader", "writeValue", "releaseBuffer", "transferArrayBuffer", "writeUint32", "writeUint64", "writeDouble",
  "writeRawBytes",
];
const READS = [
  "readHeader", "readValue", "transferArrayBuffer", "getWireFormatVersion", "readUint32", "readUint64", "readDouble",
  "readRawBytes",
];
const Serializer = unavailableClass("Serializer", "Serializer", Object, WRITES);
const Deserializer = unavailableClass("Deserializer", "Deserializer", Object, READS);

class GCProfiler {
  start() {}

  stop() {
    return undefined;
  }
}

const HEAP = {
  total_heap_size: 0, total_heap_size_executable: 0, total_physical_size: 0, total_available_size: 0, used_heap_size: 0,
  heap_size_limit: 0, malloced_memory: 0, peak_malloced_memory: 0, does_zap_garbage: 0, number_of_native_contexts: 0,
  number_of_detached_contexts: 0, total_global_handles_size: 0, used_global_handles_size: 0, external_memory: 0,
  total_allocated_bytes: 0,
};
const CODE = {
  code_and_metadata_size: 0,
  bytecode_and_metadata_size: 0,
  external_script_source_size: 0,
  cpu_profiler_metadata_size: 0,
};

const nothing = () => {};

module.exports = {
  DefaultDeserializer: unavailableClass("DefaultDeserializer", "Deserializer", Deserializer),
  DefaultSerializer: unavailableClass("DefaultSerializer", "Serializer", Serializer),
  Deserializer,
  GCProfiler,
  Serializer,
  cachedDataVersionTag: () => 0,
  deserialize: unavailable("deserialize"),
  getCppHeapStatistics: () => ({
    committed_size_bytes: 0,
    resident_size_bytes: 0,
    used_size_bytes: 0,
    space_statistics: [],
    type_names: [],
    detail_level: "detailed",
  }),
  getHeapCodeStatistics: () => ({ ...CODE }),
  getHeapSnapshot: unavailable("getHeapSnapshot"),
  getHeapSpaceStatistics: () => [],
  getHeapStatistics: () => ({ ...HEAP }),
  isStringOneByteRepresentation(content) {
    validateString(content, "content");
    for (let at = 0; at < content.length; at++) if (content.charCodeAt(at) > 0xff) return false;
    return true;
  },
  promiseHooks: {
    createHook: () => nothing,
    onAfter: () => nothing,
    onBefore: () => nothing,
    onInit: () => nothing,
    onSettled: () => nothing,
  },
  queryObjects(constructor) {
    validateFunction(constructor, "constructor");
    return unavailable("queryObjects")();
  },
  serialize: unavailable("serialize"),
  setFlagsFromString(flags) {
    validateString(flags, "flags");
  },
  setHeapSnapshotNearHeapLimit(limit) {
    validateNumber(limit, "limit");
  },
  startupSnapshot: {
    addDeserializeCallback: unavailable("startupSnapshot.addDeserializeCallback"),
    addSerializeCallback: unavailable("startupSnapshot.addSerializeCallback"),
    isBuildingSnapshot: () => false,
    setDeserializeMainFunction: unavailable("startupSnapshot.setDeserializeMainFunction"),
  },
  stopCoverage: unavailable("stopCoverage"),
  takeCoverage: unavailable("takeCoverage"),
  writeHeapSnapshot: unavailable("writeHeapSnapshot"),
};
