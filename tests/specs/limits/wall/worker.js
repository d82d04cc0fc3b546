export default {
  async scheduled(controller) {
    await scheduler.wait(controller.scheduledTime);
  },
};
