export default {
  async scheduled(controller, env, ctx) {
    if (controller.cron === "throw") throw new Error("scheduled on purpose");
    if (controller.cron === "noretry") controller.noRetry();
    ctx.waitUntil(
      Promise.resolve().then(() => {
        console.log("cron", controller.cron, "at", controller.scheduledTime);
      }),
    );
  },
  fetch() {
    return new Response("fetch too");
  },
};
