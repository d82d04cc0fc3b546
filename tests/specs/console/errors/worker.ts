interface Reason {
  code: number;
}

function fail(reason: Reason): never {
  try {
    throw new Error(`inner ${reason.code}`);
  } catch (error) {
    throw new TypeError("outer", { cause: error });
  }
}

export default {
  fetch(): Response {
    try {
      fail({ code: 1 });
    } catch (error) {
      console.error("failed:", error);
    }
    return new Response("ok");
  },
};
