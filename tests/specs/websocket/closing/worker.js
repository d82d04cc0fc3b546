function pair() {
  const [client, server] = Object.values(new WebSocketPair());
  const log = [];
  const hear = (end, name) => {
    end.addEventListener("message", ({ data }) => log.push(`${name} message ${data} ${end.readyState}`));
    end.addEventListener("close", ({ code, reason, wasClean }) => log.push(`${name} close ${code} ${reason} ${wasClean} ${end.readyState}`));
  };
  hear(client, "client");
  hear(server, "server");
  return { client, server, log };
}
// Until both ends have heard this much; the ends are told in turns of their own, whose time nobody promises.
async function heard(log, count) {
  while (log.length < count) await scheduler.wait(1);
}

export default {
  async fetch() {
    const out = {};
    {
      const { client, server, log } = pair();
      client.accept();
      server.accept();
      client.close(4001, "bye");
      log.push(`at once ${client.readyState} ${server.readyState}`);
      await heard(log, 3);
      log.push(`later ${client.readyState} ${server.readyState}`);
      out.reply = log;
    }
    {
      const { client, server, log } = pair();
      client.accept();
      server.accept();
      client.close();
      await heard(log, 2);
      out["no code"] = log;
    }
    {
      const { client, server, log } = pair();
      client.accept({ allowHalfOpen: true });
      server.accept({ allowHalfOpen: true });
      client.close(1000, "x");
      await heard(log, 1);
      log.push(`states ${client.readyState} ${server.readyState}`);
      server.send("late");
      await heard(log, 3);
      server.close(1001, "y");
      await heard(log, 4);
      log.push(`states ${client.readyState} ${server.readyState}`);
      out["half open"] = log;
    }
    {
      const [client, server] = Object.values(new WebSocketPair());
      const log = [];
      server.accept();
      server.send("early");
      client.addEventListener("message", ({ data }) => log.push(data));
      client.accept();
      log.push("accepted");
      await null;
      log.push("microtask");
      await heard(log, 3);
      out.order = log;
    }
    {
      const { client, server, log } = pair();
      client.accept();
      server.accept();
      client.send(1);
      await heard(log, 1);
      server.send("2");
      await heard(log, 2);
      client.send("3");
      await heard(log, 3);
      out.messages = log;
    }
    return Response.json(out);
  },
};
