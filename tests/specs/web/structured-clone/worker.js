const thrown = (work) => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error.name;
  }
};
export default {
  async fetch() {
    return Response.json({
      plain: structuredClone({ a: [1, undefined, null], d: new Date(5), n: NaN }).a.length,
      map: [...structuredClone(new Map([[1, new Set(["x"])]])).get(1)],
      date: structuredClone(new Date(5)).getTime(),
      regexp: String(structuredClone(/a/gi)),
      cycle: (() => { const o = {}; o.self = o; const c = structuredClone(o); return [c.self === c, c !== o]; })(),
      error: (() => { const e = structuredClone(new RangeError("m")); return [e instanceof RangeError, e.message]; })(),
      bigint: String(structuredClone(10n ** 20n)),
      typed: (() => { const t = structuredClone(new Uint16Array([1, 65535])); return [t.constructor.name, ...t]; })(),
      transfer: (() => { const b = new ArrayBuffer(4); const c = structuredClone(b, { transfer: [b] }); return [b.byteLength, c.byteLength]; })(),
      bad: [thrown(() => structuredClone(() => {})), thrown(() => structuredClone(Symbol("x")))],
      prototype: (() => { class A { x = 1; } const c = structuredClone(new A()); return [c instanceof A, c.x]; })(),
    });
  },
};
