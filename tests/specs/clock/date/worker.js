class Later extends Date {
  hour() {
    return this.getUTCHours();
  }
}

export default {
  fetch() {
    const { writable, enumerable, configurable } = Object.getOwnPropertyDescriptor(globalThis, "Date");
    const now = new Date();
    const later = new Later(0);
    let error;
    try {
      Date.prototype.getTime.call({});
    } catch (thrown) {
      error = thrown.name;
    }
    const source = Function.prototype.toString.call(Date);
    return Response.json({
      shape: [
        Date.length, Date.name, String(Object.getOwnPropertyNames(Date).sort((a, b) => a.toLowerCase().localeCompare(b.toLowerCase()))),
        source.includes("[native code]") ? "[native code]" : source, Date.now.name, Date.now.length,
      ],
      instances: [now instanceof Date, now.constructor === Date, Object.getPrototypeOf(now) === Date.prototype, new now.constructor(5).getTime() === 5, Object.prototype.toString.call(now)],
      subclass: [later instanceof Later, later instanceof Date, later.hour() === 0, new Later().getTime() > 1.7e12],
      reflect: [Reflect.construct(Date, [7], Later).getTime() === 7, Reflect.construct(Date, [], Array) instanceof Array],
      call: [Date(1) === Date(), typeof Date()],
      parts: [
        new Date(Date.UTC(2020, 1, 3, 4, 5, 6, 7)).toISOString(), Date.parse("2020-02-03T04:05:06.007Z"), new Date("2020").toISOString(),
        String(new Date(undefined)), new Date(1970, 0, 1).getMonth(),
      ],
      copy: new Date(now).getTime() === now.getTime(),
      conversions: [`${now}` === now.toString(), now - 0 === now.getTime()],
      descriptor: [writable, enumerable, configurable],
      clone: structuredClone(now) instanceof Date,
      error,
    });
  },
};
