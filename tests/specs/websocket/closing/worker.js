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
const settled = () => scheduler.wait(50);

export default {
  async fetch() {
    const out = {};
    {
      const { client, server, log } = pair();
      client.accept();
      server.accept();
      client.close(4001, "bye");
      log.push(`at once ${client.readyState} ${server.readyState}`);
      await settled();
      log.push(`later ${client.readyState} ${server.readyState}`);
      out.reply = log;
    }
    {
      const { client, server, log } = pair();
      client.accept();
      server.accept();
      client.close();
      await settled();
      out["no code"] = log;
    }
    {
      const { client, server, log } = pair();
      client.accept({ allowHalfOpen: true });
      server.accept({ allowHalfOpen: true });
      client.close(1000, "x");
      await settled();
      log.push(`states ${client.readyState} ${server.readyState}`);
      server.send("late");
      await settled();
      server.close(1001, "y");
      await settled();
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
      await settled();
      out.order = log;
    }
    {
      const { client, server, log } = pair();
      client.accept();
      server.accept();
      client.send(1);
      await settled();
      server.send("2");
      await settled();
      client.send("3");
      await settled();
      out.messages = log;
    }
    return Response.json(out);
  },
};
