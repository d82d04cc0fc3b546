export default {
  fetch(request) {
    const count = Number(new URL(request.url).searchParams.get("count"));
    const timers = [];
    let answer = [count];
    try {
      while (timers.length < count) timers.push(setTimeout(() => {}, 1e6));
    } catch (error) {
      answer = [timers.length, error.name, error instanceof DOMException];
    }
    timers.forEach(clearTimeout);
    return Response.json(answer);
  },
};
