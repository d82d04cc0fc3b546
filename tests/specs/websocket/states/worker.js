const thrown = (work) => {
  try {
    return String(work());
  } catch (error) {
    return String(error);
  }
};
const pair = () => Object.values(new WebSocketPair());
const accepted = () => {
  const [end] = pair();
  end.accept();
  return end;
};

export default {
  fetch(request) {
    const out = {};
    const [fresh] = pair();
    out.properties = [fresh.readyState, fresh.url, fresh.protocol, fresh.extensions, fresh.binaryType, String(fresh), String(Object.keys(new WebSocketPair()))];
    out.constants = [WebSocket.CONNECTING, WebSocket.OPEN, WebSocket.CLOSING, WebSocket.CLOSED, WebSocket.READY_STATE_OPEN];
    out["before accept"] = [thrown(() => fresh.send("x")), thrown(() => fresh.close())];
    const end = accepted();
    out["accept twice"] = thrown(() => end.accept());
    const constructed = new WebSocket(`ws://${new URL(request.url).host}/socket`);
    constructed.onerror = () => {};
    out.constructed = thrown(() => constructed.accept());
    out.codes = {};
    for (const code of [0, 999, 1000, 1004, 1005, 1006, 1007, 1015, 1016, 2999, 3000, 4999, 5000, "x", 1000.7]) {
      out.codes[code] = thrown(() => accepted().close(code));
    }
    out.reasons = [
      thrown(() => accepted().close(1000, "x".repeat(124))),
      thrown(() => accepted().close(1000, "x".repeat(123))),
      thrown(() => accepted().close(undefined, "why")),
    ];
    end.close(1000);
    out["after close"] = [thrown(() => end.send("x")), thrown(() => end.close(1000))];
    out.nothing = thrown(() => accepted().send()).split(":")[0];
    const types = [];
    const typed = accepted();
    for (const type of ["arraybuffer", "nonsense", "blob"]) {
      typed.binaryType = type;
      types.push(typed.binaryType);
    }
    out["binary type"] = types;
    return Response.json(out);
  },
};
