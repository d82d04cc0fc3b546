export default {
  fetch(request, env) {
    return env.API.fetch(request);
  },
};
