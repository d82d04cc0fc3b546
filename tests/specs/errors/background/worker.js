const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export default {
  async fetch(request) {
    switch (new URL(request.url).pathname) {
      case "/rejection":
        Promise.reject(new Error("nobody awaits me"));
        return new Response("fine");
      case "/timer":
        setTimeout(() => {
          throw new Error("thrown in a timer");
        }, 1);
        await pause(20);
        return new Response("fine after the timer");
      case "/event": {
        const target = new EventTarget();
        target.addEventListener("x", () => {
          throw new Error("thrown by a listener");
        });
        try {
          target.dispatchEvent(new Event("x"));
        } catch (error) {
          console.log(error);
        }
        return new Response("fine after the event");
      }
      default:
        return new Response("ok");
    }
  },
};
